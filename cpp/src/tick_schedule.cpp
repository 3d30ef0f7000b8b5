#include "gilknocker/tick_schedule.hpp"

#include <algorithm>

namespace gilknocker {
namespace {

// Intervals of centuries are allowed: their instants are then never reached, not wrapped.
// REQUIRES: b >= 0
Nanos add(Nanos a, Nanos b) noexcept { return a > kNever - b ? kNever : a + b; }

// REQUIRES: a >= 0, b >= 0
Nanos multiply(Nanos a, Nanos b) noexcept { return b != 0 && a > kNever / b ? kNever : a * b; }

}  // namespace

TickSchedule::TickSchedule(SchedulePlan plan, Nanos base, std::uint64_t seed)
    : plan_(plan), base_(base), random_(seed) {
  arm(0);
}

Nanos TickSchedule::uniform_below(Nanos bound) {
  return bound <= 1 ? 0 : std::uniform_int_distribution<Nanos>(0, bound - 1)(random_);
}

void TickSchedule::arm(std::int64_t tick) {
  const std::int64_t per_burst = plan_.ticks_per_burst;
  const std::int64_t burst = per_burst == 0 ? 0 : tick / per_burst;
  const std::int64_t stratum = per_burst == 0 ? tick : tick % per_burst;
  if (burst != burst_) {
    const Nanos period = add(multiply(per_burst, plan_.interval), plan_.burst_rest);
    burst_start_ = add(add(base_, multiply(burst, period)), uniform_below(plan_.burst_rest));
    burst_ = burst;
    opening_ = burst_start_;
  }
  tick_ = tick;
  due_ = add(add(burst_start_, multiply(stratum, plan_.interval)), uniform_below(plan_.interval));
}

std::int64_t TickSchedule::surely_not_before(Nanos now) const noexcept {
  const Nanos since = std::max<Nanos>(now - base_, 0);
  if (plan_.ticks_per_burst == 0) return since / plan_.interval;
  const Nanos period = add(multiply(plan_.ticks_per_burst, plan_.interval), plan_.burst_rest);
  return (since / period) * plan_.ticks_per_burst;
}

std::int64_t TickSchedule::surely_not_before_in_burst(Nanos now) const noexcept {
  const std::int64_t strata = (now - burst_start_) / plan_.interval;
  if (plan_.ticks_per_burst == 0) return strata;
  return burst_ * plan_.ticks_per_burst + std::min(strata, plan_.ticks_per_burst);
}

std::int64_t TickSchedule::advance_past(Nanos now) {
  const std::int64_t armed = tick_;
  opening_ = kNever;
  arm(std::max(armed + 1, surely_not_before(now)));
  // Where the burst begins is known only now.
  while (due_ <= now) arm(std::max(tick_ + 1, surely_not_before_in_burst(now)));
  return tick_ - armed - 1;
}

}  // namespace gilknocker
