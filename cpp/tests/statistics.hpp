// When is a sampled answer wrong? Rules that follow from the load, with no tolerance to tune.
#pragma once

#include <cmath>
#include <cstdint>

#include "check.hpp"
#include "gilknocker/nanos.hpp"
#include "load.hpp"

namespace gilknocker {

// What the one look in each stratum must find, from the exact share of the stratum that is held:
// the looks are independent, so that this mean and this variance are those of the count itself.
struct ExpectedHeld {
  double mean = 0;
  double variance = 0;

  double sigma() const { return std::sqrt(variance); }
};

inline ExpectedHeld expected_held(const Load& load, Nanos start, Nanos interval,
                                  std::int64_t ticks) {
  ExpectedHeld sum;
  for (Nanos stratum = start; stratum < start + ticks * interval; stratum += interval) {
    const double p = static_cast<double>(load.held_between(stratum, stratum + interval)) /
                     static_cast<double>(interval);
    sum.mean += p;
    sum.variance += p * (1 - p);
  }
  return sum;
}

// Many cases' counts against what is expected of each. Five sigma are exceeded by chance once in
// 1.7 million cases; the few ticks beside them are for the longer tail of a count with little
// variance, where all strata but a few are held or free throughout.
class HeldCounts {
 public:
  void add(std::int64_t held, const ExpectedHeld& expected) {
    const double surplus = static_cast<double>(held) - expected.mean;
    CHECK_NEAR(surplus, 0, 5 * expected.sigma() + 3);
    if (expected.variance < 9) return;
    const double deviate = surplus / expected.sigma();
    sum_ += deviate;
    squares_ += deviate * deviate;
    ++count_;
  }

  // The mean deviate shows a bias that no case alone does; the mean square shows ticks that are
  // less even than one in each stratum, or less random.
  void check_together() const {
    REQUIRE(count_ > 100);
    CHECK_NEAR(sum_ / std::sqrt(count_), 0, 5);
    CHECK_NEAR((squares_ - count_) / std::sqrt(2 * count_), 0, 5);
  }

 private:
  double sum_ = 0;
  double squares_ = 0;
  double count_ = 0;
};

}  // namespace gilknocker
