#include "gilknocker/ledger.hpp"

#include <algorithm>
#include <utility>

namespace gilknocker {

Ledger::Ledger(const Clock& clock, std::size_t log_capacity, KnockAsLook as_look,
               const HeldSource* held) noexcept
    : clock_(clock),
      as_look_(as_look),
      held_(held),
      start_(clock.now()),
      start_unix_(clock.unix_time()),
      end_(start_),
      end_unix_(start_unix_),
      log_(log_capacity) {}

std::int64_t Ledger::begin_run() {
  MutexLock lock(mutex_);
  resumed_ = now_locked();
  began_.store(resumed_, std::memory_order_relaxed);
  counts_.store(counted_.counts(), std::memory_order_relaxed);
  if (observed_ == 0) {
    start_ = resumed_;
    start_unix_ = clock_.unix_time();
  }
  running_ = true;
  abandoned_ = false;
  ticks_ += std::exchange(told_, {});  // of a knock that a finalizing interpreter ended
  asked_ = kNever;
  knock_waits_.store(false, std::memory_order_relaxed);
  return ++run_;
}

void Ledger::end_run() {
  MutexLock lock(mutex_);
  end_ = now_locked();
  end_unix_ = clock_.unix_time();
  observed_ += end_ - resumed_;
  running_ = false;
  counts_.store(false, std::memory_order_relaxed);
}

void Ledger::abandon_knock() {
  MutexLock lock(mutex_);
  ticks_ = ticks_locked(end_);
  told_ = {};
  abandoned_ = true;
}

void Ledger::record_tick(const TickRecord& record) {
  MutexLock lock(mutex_);
  cpu_ += record.cpu;
  if (record.at < resumed_) return;  // looked before a reset: not of this epoch
  ++ticks_.ticks;
  ticks_.held += record.look == Look::kHeld;
  ticks_.own += record.look == Look::kOwn;
  ticks_.disabled += record.look == Look::kDisabled;
  ticks_.late += record.late;
  ticks_.missed += record.missed;
  looks_.add(record.look, record.weight);
  if (!record.holder) return;
  holders_.add(*record.holder, record.weight);
  some_unnamed_.store(holders_.some_unnamed(), std::memory_order_relaxed);
}

void Ledger::begin_knock(std::int64_t run) {
  MutexLock lock(mutex_);
  if (run != run_ || abandoned_) return;
  asked_ = clock_.now();
  knock_waits_.store(true, std::memory_order_relaxed);
}

Unnamed Ledger::try_unnamed() const {
  if (!some_unnamed_.load(std::memory_order_relaxed) || !mutex_.try_lock()) return {};
  const Unnamed found = holders_.unnamed();
  mutex_.unlock();
  return found;
}

void Ledger::end_knock(std::int64_t run, const KnockRecord& record) {
  MutexLock lock(mutex_);
  if (run != run_ || abandoned_) return;
  asked_ = kNever;
  knock_waits_.store(false, std::memory_order_relaxed);
  cpu_ += record.cpu;
  ++knocks_.knocks;
  knocks_.missed += record.missed;
  // The first after a reset was not observed for longer than the epoch lasts, or than it waited.
  const Nanos of_epoch = std::max(record.asked + record.wait - resumed_, record.wait);
  knocks_.observed += std::min(record.observed, of_epoch);
  knocks_.wait_total += record.wait;
  knocks_.wait_max = std::max(knocks_.wait_max, record.wait);
  floor_ = std::min(floor_.value_or(record.wait), record.wait);
  // A knock asked before a reset answers only for the ticks after it.
  TickTally answered = record.asked < resumed_
                           ? as_look_.under_way(record.asked + record.wait - resumed_)
                           : record.ticks;
  answered.ticks = std::max(answered.ticks, told_.ticks);
  answered.held = std::max(answered.held, told_.held);
  ticks_ += answered;
  told_ = {};
  if (record.named.count != 0) {
    holders_.name(record.named);
    some_unnamed_.store(holders_.some_unnamed(), std::memory_order_relaxed);
  }
  histogram_.add(record.wait);
  log_.append({record.asked, record.wait});
}

void Ledger::add_cpu(Nanos used) {
  MutexLock lock(mutex_);
  cpu_ += used;
}

void Ledger::add_knocker_cpu(std::int64_t run, Nanos used) {
  MutexLock lock(mutex_);
  if (run == run_ && !abandoned_) cpu_ += used;
}

void Ledger::note_slice(bool active) {
  MutexLock lock(mutex_);
  slice_active_ = active;
}

void Ledger::reset_locked() {
  ++epoch_;
  start_ = resumed_ = now_locked();
  began_.store(resumed_, std::memory_order_relaxed);
  counted_.clear();
  told_held_ = 0;
  if (!running_) asked_ = kNever;  // a knock that was let go is of the epoch before
  start_unix_ = clock_.unix_time();
  end_ = start_;
  end_unix_ = start_unix_;
  observed_ = 0;
  cpu_ = 0;
  ticks_ = {};
  looks_ = {};
  told_ = {};
  knocks_ = {};
  histogram_.clear();
  holders_.clear();
  some_unnamed_.store(false, std::memory_order_relaxed);
  log_.clear();
}

void Ledger::reset() {
  MutexLock lock(mutex_);
  reset_locked();
}

bool Ledger::try_reset() {
  if (!mutex_.try_lock()) return false;
  reset_locked();
  mutex_.unlock();
  return true;
}

Nanos Ledger::in_flight_locked(Nanos now) const {
  if (asked_ == kNever) return 0;
  return (running_ ? now : end_) - asked_;
}

TickTally Ledger::ticks_locked(Nanos now) const {
  if (!abandoned_) {
    const Nanos of_epoch = (running_ ? now : end_) - resumed_;
    const TickTally sure = as_look_.under_way(std::min(in_flight_locked(now), of_epoch));
    told_.ticks = std::max(told_.ticks, sure.ticks);
    told_.held = std::max(told_.held, sure.held);
  }
  TickTally all = ticks_;
  all += told_;
  return all;
}

Reading Ledger::read_locked(bool with_waits) const {
  Reading reading;
  const Nanos now = now_locked();
  reading.epoch = epoch_;
  reading.start = start_;
  reading.start_unix = start_unix_;
  reading.end = running_ ? now : end_;
  reading.end_unix = running_ ? clock_.unix_time() : end_unix_;
  reading.observed = observed_locked(now);
  reading.ticks = ticks_locked(now);
  reading.looks = looks_;
  reading.held = held_locked(now);
  reading.counted = counted_.counted();
  reading.takes = counted_.takes();
  reading.counted_until = counted_.counts() ? counted_.now_in_cycles() : 0;
  reading.knocks = knocks_;
  reading.floor = floor_;
  reading.in_flight = in_flight_locked(now);
  reading.cpu = cpu_;
  reading.slice_active = slice_active_;
  reading.histogram = histogram_.occupied();
  reading.holders = holders_.all();
  if (with_waits) reading.waits = log_.view();
  return reading;
}

Reading Ledger::read(bool with_waits) const {
  MutexLock lock(mutex_);
  return read_locked(with_waits);
}

bool Ledger::try_read(bool with_waits, Reading* out) const {
  if (!mutex_.try_lock()) return false;
  try {
    *out = read_locked(with_waits);
  } catch (...) {  // no memory
    mutex_.unlock();
    throw;
  }
  mutex_.unlock();
  return true;
}

WaitView Ledger::waits() const {
  MutexLock lock(mutex_);
  return log_.view();
}

double Ledger::held_fraction() const {
  MutexLock lock(mutex_);
  return held_fraction_locked(now_locked());
}

bool Ledger::try_held_fraction(double* out) const {
  if (!mutex_.try_lock()) return false;
  *out = held_fraction_locked(now_locked());
  mutex_.unlock();
  return true;
}

CountedTime Ledger::count() {
  MutexLock lock(mutex_);
  static_cast<void>(now_locked());
  return counted_;
}

bool Ledger::try_count() {
  if (!mutex_.try_lock()) return false;
  static_cast<void>(now_locked());
  mutex_.unlock();
  return true;
}

Nanos Ledger::now_locked() const {
  if (held_ == nullptr) return clock_.now();
  const HeldReading reading = held_->read();
  if (running_) {
    counted_.advance(reading);
    counts_.store(reading.counts, std::memory_order_relaxed);
  } else {
    counted_.resume(reading);
  }
  return reading.counts ? reading.at.nanos : clock_.now();
}

Nanos Ledger::observed_locked(Nanos now) const {
  return observed_ + (running_ ? now - resumed_ : 0);
}

double Ledger::held_fraction_locked(Nanos now) const {
  const TickTally ticks = ticks_locked(now);
  const auto counted = static_cast<double>(counted_.counted());
  if (counted == 0) return looked_fraction_locked(ticks);
  const auto held = static_cast<double>(counted_.held());
  const auto observed = static_cast<double>(observed_locked(now));
  if (ticks.ticks == ticks.disabled || observed <= counted) return held / counted;
  return (held + looked_fraction_locked(ticks) * (observed - counted)) / observed;
}

double Ledger::looked_fraction_locked(const TickTally& ticks) const {
  if (looks_.enabled == 0) return gilknocker::held_fraction(ticks);
  return static_cast<double>(looks_.held) / static_cast<double>(looks_.enabled);
}

Nanos Ledger::held_locked(Nanos now) const {
  const TickTally ticks = ticks_locked(now);
  Nanos held = counted_.held();
  if (ticks.ticks != 0) {
    const Nanos looked = std::max<Nanos>(observed_locked(now) - counted_.counted(), 0);
    const double share = looks_.all != 0
                             ? static_cast<double>(looks_.held) / static_cast<double>(looks_.all)
                             : static_cast<double>(ticks.held) / static_cast<double>(ticks.ticks);
    held += static_cast<Nanos>(static_cast<double>(looked) * share);
  }
  told_held_ = std::max(told_held_, held);
  return told_held_;
}

}  // namespace gilknocker
