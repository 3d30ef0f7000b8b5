#include "gilknocker/traced_thread.hpp"

#include <algorithm>
#include <utility>

namespace gilknocker {

ThreadTotals& ThreadTotals::operator+=(const ThreadTotals& other) noexcept {
  held += other.held;
  waited += other.waited;
  lived += other.lived;
  acquisitions += other.acquisitions;
  holds += other.holds;
  waits += other.waits;
  forced_releases += other.forced_releases;
  wanted_releases += other.wanted_releases;
  retakes += other.retakes;
  passed_over += other.passed_over;
  passed_over_waits += other.passed_over_waits;
  longest_hold = std::max(longest_hold, other.longest_hold);
  longest_wait = std::max(longest_wait, other.longest_wait);
  return *this;
}

void TracedThread::open(std::int64_t native_id, bool ours, bool expected, Nanos now) noexcept {
  native_id_ = native_id;
  ours_ = ours;
  apart_ = !ours;
  expected_ = expected;
  ended_ = false;
  since_ = living_since_ = seen_ = now;
  out_since_.store(now, std::memory_order_relaxed);
  holding_since_ = 0;
  asking_since_.store(0, std::memory_order_relaxed);
  asked_at_.store(0, std::memory_order_relaxed);
  out_at_.store(0, std::memory_order_relaxed);
  totals_ = {};
}

bool TracedThread::meet(bool ours) noexcept {
  if (!std::exchange(expected_, false)) return false;
  ours_ = ours;
  apart_ = !ours;
  return true;
}

bool TracedThread::asked(Nanos now, bool wanted_it_all_along, std::int64_t returns) noexcept {
  if (waits()) return false;
  const Nanos since = wanted_it_all_along ? out_since_.load(std::memory_order_relaxed) : now;
  asked_at_.store(wanted_it_all_along ? out_at_.load(std::memory_order_relaxed) : returns,
                  std::memory_order_relaxed);
  asking_since_.store(since, std::memory_order_release);
  return true;
}

Ended TracedThread::acquired(Nanos now, bool wanted_it_all_along, std::int64_t returns) noexcept {
  Nanos asked = asking_since_.load(std::memory_order_relaxed);
  const std::int64_t then = (asked == 0 ? out_at_ : asked_at_).load(std::memory_order_relaxed);
  if (asked == 0 && wanted_it_all_along) asked = out_since_.load(std::memory_order_relaxed);
  asking_since_.store(0, std::memory_order_relaxed);
  acquired_at_once(now);
  if (asked == 0) return {};
  asked = std::max(asked, living_since_);
  // Who asks reads another CPU's counter, which may be a little ahead.
  const Nanos wait = std::max<Nanos>(now - asked, 0);
  totals_.waited += wait;
  totals_.longest_wait = std::max(totals_.longest_wait, wait);
  ++totals_.waits;
  totals_.passed_over += returns - then;
  if (returns != then) totals_.passed_over_waits += wait;
  return {asked, now};
}

void TracedThread::holds_from(Nanos now) noexcept { holding_since_ = now; }

void TracedThread::pause(Nanos now, std::int64_t returns) noexcept {
  if (ended_) return;
  totals_ = totals(now, returns);
  living_since_ = holding_since_ = 0;
  asking_since_.store(0, std::memory_order_relaxed);
}

void TracedThread::resume(Nanos now, std::int64_t returns) noexcept {
  if (ended_) return;
  living_since_ = now;
  out_since_.store(now, std::memory_order_relaxed);
  out_at_.store(returns, std::memory_order_relaxed);
  // Of one that asked when the trace had paused, and its book was still at hand.
  asking_since_.store(0, std::memory_order_relaxed);
}

void TracedThread::reset(Nanos now, std::int64_t returns) noexcept {
  totals_ = {};
  if (living_since_ != 0) living_since_ = now;
  if (holding_since_ != 0) holding_since_ = now;
  // Only asked() writes here too, and only where it reads 0.
  if (waits()) {
    asked_at_.store(returns, std::memory_order_relaxed);
    asking_since_.store(now, std::memory_order_release);
  }
  out_since_.store(std::max(out_since_.load(std::memory_order_relaxed), now),
                   std::memory_order_relaxed);
  out_at_.store(returns, std::memory_order_relaxed);
}

void TracedThread::end() noexcept {
  if (ended_) return;
  if (living_since_ != 0) {
    const Nanos last = std::max(out_since_.load(std::memory_order_relaxed), seen_);
    totals_.lived += std::max<Nanos>(last - living_since_, 0);
  }
  living_since_ = holding_since_ = 0;
  asking_since_.store(0, std::memory_order_relaxed);
  ended_ = true;
}

Nanos TracedThread::holding_for(Nanos now) const noexcept {
  return holding_since_ == 0 ? 0 : now - holding_since_;
}

Nanos TracedThread::waiting_for(Nanos now) const noexcept {
  const Nanos since = asking_since_.load(std::memory_order_relaxed);
  return since == 0 ? 0 : std::max<Nanos>(now - std::max(since, living_since_), 0);
}

ThreadTotals TracedThread::totals(Nanos now, std::int64_t returns) const noexcept {
  ThreadTotals all = totals_;
  const Nanos waiting = waiting_for(now);
  if (asking_since_.load(std::memory_order_acquire) != 0) {
    const std::int64_t passed = returns - asked_at_.load(std::memory_order_relaxed);
    all.passed_over += passed;
    if (passed != 0) all.passed_over_waits += waiting;
  }
  const Nanos holding = holding_for(now);
  all.held += holding;
  all.waited += waiting;
  all.longest_hold = std::max(all.longest_hold, holding);
  all.longest_wait = std::max(all.longest_wait, waiting);
  if (living_since_ != 0) all.lived += std::max<Nanos>(now - living_since_, 0);
  return all;
}

}  // namespace gilknocker
