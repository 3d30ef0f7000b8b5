// Simulated time: a clock that the test tells, a GIL used by a Load, and a serial driver that
// plays the threads of a Watcher and a Knocker, with late wake-ups and stolen time if asked.
//
// Thread safety: none; everything here happens on the test's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/tally.hpp"
#include "gilknocker/task.hpp"
#include "load.hpp"
#include "random_cases.hpp"

namespace gilknocker {

class FakeClock final : public Clock {
 public:
  static constexpr Nanos kUnixEpoch = 1'700'000'000'000'000'000;  // the clock's 0
  static constexpr Nanos kNanosPerCpu = 8;                        // we use an eighth of all time

  explicit FakeClock(Nanos now) : now_(now) {}

  Nanos now() const noexcept override {
    if (on_now) on_now();
    return now_;
  }
  Nanos unix_time() const noexcept override { return kUnixEpoch + now_; }
  Nanos thread_cpu() const noexcept override { return now_ / kNanosPerCpu; }

  void set(Nanos now) noexcept { now_ = now; }
  void advance(Nanos by) noexcept { now_ += by; }

  std::function<void()> on_now;  // called by whoever asks for the time

 private:
  Nanos now_;
};

struct Disturbance {
  double late_wakes = 0;        // the share of wake-ups that are late
  double lateness = 0;          // their mean, ns
  double stolen = 0;            // the share of time in which nothing of ours runs
  Nanos longest_theft = 1'000;  // from 1 us to this at a time
  Nanos wake_latency = 0;       // from the GIL's release to the waiting knocker's taking it
  double preempted = 0;         // the share of knocks that lose their CPU before they ask
  Nanos own_hold = 0;           // how long a knock holds the GIL
  bool cannot_tell = false;     // acquire_and_tell() does not know whether it waited
};

struct Wake {
  Nanos due;
  Nanos at;
};

struct SeenKnock {
  Nanos asked;
  Nanos got;
  bool waited;
};

class Simulation {
 public:
  Simulation(const Load& load, Nanos start, Nanos end, Disturbance disturbance, Random& random);
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  ~Simulation();

  FakeClock& clock() noexcept { return clock_; }
  Gil& gil() noexcept;

  // Runs them (either may be null) up to `end`, or to the end of a knock under way there.
  void run(Task* watcher, Task* knocker, Nanos end);

  // Called at random instants, also under a knock: a place to read the ledger from.
  std::function<void()> observe;

  // The time between `from` and `to` in which our threads could run.
  Nanos ours_between(Nanos from, Nanos to) const noexcept;
  // The share of that time in which the program held the GIL.
  double held_fraction_between(Nanos from, Nanos to) const noexcept;

  const std::vector<Wake>& watcher_wakes() const noexcept { return watcher_wakes_; }
  const std::vector<Wake>& knocker_wakes() const noexcept { return knocker_wakes_; }
  const std::vector<SeenKnock>& knocks() const noexcept { return knocks_; }
  const TickTally& looks() const noexcept { return looks_; }
  void set_gil_enabled(bool enabled) noexcept { enabled_ = enabled; }

 private:
  class FakeGil;
  class FakeThreadState;

  Nanos wakes_at(const Task* task);
  void step_to(Nanos instant);
  void pass_until(Nanos instant);
  bool acquire();
  void release();
  Look look() const noexcept;

  const Load& load_;
  const Disturbance disturbance_;
  Random& random_;
  FakeClock clock_;
  Load thefts_;  // when nothing of ours runs
  std::unique_ptr<FakeGil> gil_;
  Task* watcher_ = nullptr;
  Nanos watcher_wakes_at_ = kNever;
  bool own_ = false;
  bool enabled_ = true;
  mutable TickTally looks_;
  std::vector<Wake> watcher_wakes_;
  std::vector<Wake> knocker_wakes_;
  std::vector<SeenKnock> knocks_;
};

}  // namespace gilknocker
