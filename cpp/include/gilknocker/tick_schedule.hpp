// When to look or knock next: open loop, stratified jitter.
//
// Tick k is at base + (k + U_k) * interval with U_k uniform in [0, 1): the instants do not depend
// on how long the work takes, cannot lock onto a periodic program, and one in each stratum keeps
// the variance below that of a Poisson schedule. With bursts, every ticks_per_burst strata are
// followed by burst_rest, a random part of which is moved in front of them.
//
// With a dense start the first strata are shorter: kStrataOfALength of interval / 2^dense_start, as
// many of twice that, and so on up to `interval`. What a tick finds there stands for less time than
// later: passed_weight() says for how much.
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
  int dense_start = 0;  // how often the first interval doubles; 0 with bursts, at most kMostDense
};

class TickSchedule {
 public:
  static constexpr std::int64_t kStrataOfALength = 8;
  static constexpr int kMostDense = 10;

  TickSchedule(SchedulePlan plan, Nanos base, std::uint64_t seed);

  // The instant of the armed tick.
  Nanos due() const noexcept { return due_; }
  // When the burst of the armed tick began, if that tick opens it; else kNever.
  Nanos opening() const noexcept { return opening_; }
  bool starts_densely() const noexcept { return plan_.dense_start != 0; }

  // Arms the first tick after `now` (at least the one after the armed one), and returns how many
  // ticks in between have passed, the armed one not counted.
  std::int64_t advance_past(Nanos now);
  // For how much time the tick stands that was armed before, in units of the shortest stratum: its
  // own stratum and those that were missed after it, for the densest are missed most; but for no
  // more than `interval`. 1 without a dense start.
  std::int64_t passed_weight() const noexcept { return passed_weight_; }
  // Begins again at `base`, with the dense start.
  void restart(Nanos base);

 private:
  // Of a tick of an endless burst: how often its stratum will still double, and where that begins,
  // counted from the base.
  int doublings_left(std::int64_t tick) const noexcept;
  Nanos stratum_start(std::int64_t tick) const noexcept;
  // Where the strata of full length begin.
  Nanos dense_time() const noexcept;
  // Of an endless burst: how many strata have passed so long after its base, at least.
  std::int64_t full_strata(Nanos since) const noexcept;
  std::int64_t weight_of(std::int64_t tick) const noexcept;
  void arm(std::int64_t tick);
  Nanos uniform_below(Nanos bound);
  // A tick such that all before it have surely passed at `now`: saves walking through a suspend.
  std::int64_t surely_not_before(Nanos now) const noexcept;
  // The same within the burst of the armed tick. REQUIRES: due() <= now
  std::int64_t surely_not_before_in_burst(Nanos now) const noexcept;

  const SchedulePlan plan_;
  Nanos base_;
  std::mt19937_64 random_;
  std::int64_t tick_ = -1;
  std::int64_t burst_ = -1;
  Nanos burst_start_ = 0;
  Nanos due_ = 0;
  Nanos opening_ = kNever;
  std::int64_t passed_weight_ = 0;
};

}  // namespace gilknocker
