// A machine's two clocks, for tests of what is made of them.
#pragma once

#include <cstdint>

#include "gilknocker/hook_clock.hpp"
#include "random_cases.hpp"

namespace gilknocker {

// A machine whose counter runs at its own pace. Time is that of CLOCK_MONOTONIC.
class Machine {
 public:
  static constexpr double kMostSlew = 0.0005;  // as far as adjtime() goes

  explicit Machine(Random& random)
      : random_(random),
        cycles_(static_cast<double>(integer_in(random, 0, 1'000'000'000'000))),
        pace_(real_in(random, 0.02, 5)) {}  // 20 MHz to 5 GHz

  Nanos now() const { return now_; }
  double pace() const { return pace_; }  // cycles a ns
  Cycles cycles() const { return static_cast<Cycles>(static_cast<std::int64_t>(cycles_) + skew_); }
  void pass(Nanos time) {
    now_ += time;
    cycles_ += static_cast<double>(time) * pace_ * (1 + slew_);
  }
  void slew() { slew_to(real_in(random_, -kMostSlew, kMostSlew)); }
  void slew_to(double slew) { slew_ = slew; }
  void migrate(std::int64_t most_skew) { skew_ = integer_in(random_, -most_skew, most_skew); }
  // The counter goes on, and the clock does not.
  void suspend(Nanos time) { cycles_ += static_cast<double>(time) * pace_; }
  void restart_counter() { cycles_ = 0; }
  void change_pace(double factor) { pace_ *= factor; }  // another machine under the same system

 private:
  Random& random_;
  Nanos now_ = 1'000'000'000;
  double cycles_;
  double pace_;
  double slew_ = 0;
  std::int64_t skew_ = 0;
};

}  // namespace gilknocker
