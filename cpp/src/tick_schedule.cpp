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

void TickSchedule::restart(Nanos base) {
  base_ = base;
  tick_ = burst_ = -1;
  arm(0);
}

int TickSchedule::doublings_left(std::int64_t tick) const noexcept {
  return plan_.dense_start -
         static_cast<int>(std::min<std::int64_t>(tick / kStrataOfALength, plan_.dense_start));
}

Nanos TickSchedule::dense_time() const noexcept {
  Nanos time = 0;
  for (int left = plan_.dense_start; left > 0; --left) {
    time = add(time, multiply(kStrataOfALength, plan_.interval >> left));
  }
  return time;
}

Nanos TickSchedule::stratum_start(std::int64_t tick) const noexcept {
  if (plan_.dense_start == 0) return multiply(tick, plan_.interval);
  const std::int64_t dense = kStrataOfALength * plan_.dense_start;
  if (tick >= dense) return add(dense_time(), multiply(tick - dense, plan_.interval));
  Nanos start = 0;
  for (std::int64_t before = 0; before < tick; ++before) {
    start = add(start, plan_.interval >> doublings_left(before));
  }
  return start;
}

std::int64_t TickSchedule::weight_of(std::int64_t tick) const noexcept {
  return std::int64_t{1} << (plan_.dense_start - doublings_left(tick));
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
  const Nanos length = plan_.interval >> doublings_left(tick);
  due_ = add(add(burst_start_, stratum_start(stratum)), uniform_below(length));
}

std::int64_t TickSchedule::full_strata(Nanos since) const noexcept {
  const Nanos dense = dense_time();
  if (since < dense) return 0;  // they are few: the caller walks through them
  return kStrataOfALength * plan_.dense_start + (since - dense) / plan_.interval;
}

std::int64_t TickSchedule::surely_not_before(Nanos now) const noexcept {
  const Nanos since = std::max<Nanos>(now - base_, 0);
  if (plan_.ticks_per_burst == 0) return full_strata(since);
  const Nanos period = add(multiply(plan_.ticks_per_burst, plan_.interval), plan_.burst_rest);
  return (since / period) * plan_.ticks_per_burst;
}

std::int64_t TickSchedule::surely_not_before_in_burst(Nanos now) const noexcept {
  if (plan_.ticks_per_burst == 0) return full_strata(now - burst_start_);
  const std::int64_t strata = (now - burst_start_) / plan_.interval;
  return burst_ * plan_.ticks_per_burst + std::min(strata, plan_.ticks_per_burst);
}

std::int64_t TickSchedule::advance_past(Nanos now) {
  const std::int64_t armed = tick_;
  opening_ = kNever;
  arm(std::max(armed + 1, surely_not_before(now)));
  // Where the burst begins is known only now.
  while (due_ <= now) arm(std::max(tick_ + 1, surely_not_before_in_burst(now)));
  const std::int64_t most = std::int64_t{1} << plan_.dense_start;
  passed_weight_ = 0;
  for (std::int64_t tick = armed; tick < tick_ && passed_weight_ < most; ++tick) {
    passed_weight_ += weight_of(tick);
  }
  passed_weight_ = std::min(passed_weight_, most);
  return tick_ - armed - 1;
}

}  // namespace gilknocker
