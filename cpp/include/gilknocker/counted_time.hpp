// What one meter makes of the account: nanoseconds held and counted, which only grow.
//
// Between two readings the share of cycles is the share of time: whatever the rate of the counter,
// and however CLOCK_MONOTONIC was slewed meanwhile, no more can have been held than has passed. An
// error of an instant is one of that size in the sum, and does not add up.
//
// A machine that is suspended stops CLOCK_MONOTONIC, and may not stop the counter: that shows in
// the rate, which then is another than before. The cycles too many lie in one hold, or between two:
// in whichever of both has room for them.
//
// Thread safety: none; the ledger's mutex guards it.
#pragma once

#include <cstdint>

#include "gilknocker/held_account.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class CountedTime {
 public:
  // From this reading on; what lies between it and the last one does not count.
  void resume(const HeldReading& reading) noexcept { last_ = reading; }
  // Up to this reading, where both are of one era.
  void advance(const HeldReading& reading) noexcept;
  // All from zero; what follows is counted from the last reading on.
  void clear() noexcept { held_ = counted_ = takes_ = 0; }

  bool counts() const noexcept { return last_.counts; }
  Nanos held() const noexcept { return held_; }
  Nanos counted() const noexcept { return counted_; }
  std::int64_t takes() const noexcept { return takes_; }
  // The latest reading's own moment.
  Nanos now() const noexcept { return last_.at.nanos; }
  Cycles now_in_cycles() const noexcept { return last_.at.cycles; }

 private:
  Nanos held_between(const HeldReading& from, const HeldReading& to) noexcept;
  void learn(double rate) noexcept;

  HeldReading last_;
  Nanos held_ = 0;
  Nanos counted_ = 0;
  std::int64_t takes_ = 0;
  double rate_ = 0;     // cycles a nanosecond; 0: not known
  double another_ = 0;  // far from it, and
  int seen_ = 0;        // so often in a row
};

}  // namespace gilknocker
