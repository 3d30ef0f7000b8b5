// When to look or knock next: open loop, stratified jitter.
//
// Tick k is at base + (k + U_k) * interval with U_k uniform in [0, 1): the instants do not depend
// on how long the work takes, cannot lock onto a periodic program, and one in each stratum keeps
// the variance below that of a Poisson schedule. With bursts, every ticks_per_burst strata are
// followed by burst_rest, a random part of which is moved in front of them.
//
// Thread safety: none; each schedule belongs to one thread.
#pragma once

#include <cstdint>
#include <random>

#include "gilknocker/nanos.hpp"

namespace gilknocker {

struct SchedulePlan {
  Nanos interval = 0;                // > 0
  std::int64_t ticks_per_burst = 0;  // 0: one endless burst
  Nanos burst_rest = 0;
};

class TickSchedule {
 public:
  TickSchedule(SchedulePlan plan, Nanos base, std::uint64_t seed);

  // The instant of the armed tick.
  Nanos due() const noexcept { return due_; }
  // When the burst of the armed tick began, if that tick opens it; else kNever.
  Nanos opening() const noexcept { return opening_; }

  // Arms the first tick after `now` (at least the one after the armed one), and returns how many
  // ticks in between have passed, the armed one not counted.
  std::int64_t advance_past(Nanos now);

 private:
  void arm(std::int64_t tick);
  Nanos uniform_below(Nanos bound);
  // A tick such that all before it have surely passed at `now`: saves walking through a suspend.
  std::int64_t surely_not_before(Nanos now) const noexcept;
  // The same within the burst of the armed tick. REQUIRES: due() <= now
  std::int64_t surely_not_before_in_burst(Nanos now) const noexcept;

  const SchedulePlan plan_;
  const Nanos base_;
  std::mt19937_64 random_;
  std::int64_t tick_ = -1;
  std::int64_t burst_ = -1;
  Nanos burst_start_ = 0;
  Nanos due_ = 0;
  Nanos opening_ = kNever;
};

}  // namespace gilknocker
