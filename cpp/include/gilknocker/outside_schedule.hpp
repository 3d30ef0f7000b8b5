// When to look at a program that a look may disturb: after gaps that no past foretells.
//
// Gaps are exponential, so that the instants are a Poisson process: what they find is in the mean
// what is so all the time, though each look may change what comes after it (Wolff, "Poisson
// Arrivals See Time Averages", 1982). Of a TickSchedule that is not so, for there a gap is seldom
// short: it finds the program as it is long after a look, and leaves out how it is shortly after
// one.
//
// Thread safety: none; each schedule belongs to one thread.
#pragma once

#include <cstdint>
#include <random>

#include "gilknocker/nanos.hpp"

namespace gilknocker {

class OutsideSchedule {
 public:
  // REQUIRES: interval > 0, the mean of the gaps
  OutsideSchedule(Nanos interval, std::uint64_t seed);

  // To be called before advance_past: the first look is due a gap after `base`.
  void begin(Nanos base);

  // The instant of the next look; before begin(), never.
  Nanos due() const noexcept { return due_; }
  // Chooses another one after `now`, and returns how many would have been due after this one by
  // then: a number drawn at random, as they would have been.
  std::int64_t advance_past(Nanos now);

 private:
  Nanos gap();

  const double interval_;
  std::mt19937_64 random_;
  Nanos due_ = kNever;
};

}  // namespace gilknocker
