// A program's use of the GIL as a list of holds: the exact answer to what the meter estimates.
//
// Thread safety: immutable once made.
#pragma once

#include <cstddef>
#include <vector>

#include "gilknocker/nanos.hpp"
#include "random_cases.hpp"

namespace gilknocker {

struct Hold {  // from <= t < to
  Nanos from;
  Nanos to;
};

class Load {
 public:
  // REQUIRES: holds in ascending order, none empty, no two touching.
  explicit Load(std::vector<Hold> holds);

  bool held_at(Nanos instant) const noexcept;
  // The first instant from `instant` on at which nobody holds it.
  Nanos free_from(Nanos instant) const noexcept;
  Nanos held_between(Nanos from, Nanos to) const noexcept;
  const std::vector<Hold>& holds() const noexcept { return holds_; }

 private:
  std::size_t holds_begun_by(Nanos instant) const noexcept;
  Nanos held_until(Nanos instant) const noexcept;

  std::vector<Hold> holds_;
  std::vector<Nanos> held_before_;  // held_before_[i]: by the holds before the i-th
};

// Threads that think, queue for the GIL, and hold it, again and again.
struct LoadPlan {
  int threads = 1;
  Nanos hold = 0;   // mean
  Nanos think = 0;  // mean
  bool exponential = false;

  // How long a hold and the free time after it take together, roughly.
  Nanos period() const noexcept { return hold + think / threads; }
};

Load make_load(const LoadPlan& plan, Nanos from, Nanos to, Random& random);

// Holds of 5 us to 50 ms, duty 0.05 to 0.95, one to four threads; one in four has a period of
// exactly `interval`.
LoadPlan random_plan(Nanos interval, Random& random);

}  // namespace gilknocker
