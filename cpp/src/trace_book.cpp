#include "gilknocker/trace_book.hpp"

#include <algorithm>
#include <new>
#include <unordered_set>

namespace gilknocker {
namespace {

std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};  // relaxed: only ever compared
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

TraceBook::TraceBook(std::size_t events, Nanos now, std::size_t threads, Nanos least_event)
    : id_(next_id()),
      least_event_(least_event),
      threads_(threads),
      events_(events),
      start_(now),
      end_(now) {
  crowd_.open(0, false, false, now);
}

// ---- by the hooks ------------------------------------------------------------------------------

TracedThread& TraceBook::enter(std::int64_t native_id, bool ours, Nanos now) noexcept {
  if (expected_ != 0) {
    if (TracedThread* const thread = met(native_id, ours)) return *thread;
  }
  TracedThread* const thread = add(native_id, ours, false, now);
  return thread != nullptr ? *thread : crowd_;
}

TracedThread* TraceBook::met(std::int64_t native_id, bool ours) noexcept {
  for (std::size_t i = 0; i < expected_end_; ++i) {
    TracedThread& thread = threads_[i];
    if (thread.native_id() == native_id && !thread.ended() && thread.meet(ours)) {
      --expected_;
      return &thread;
    }
  }
  return nullptr;
}

TracedThread* TraceBook::add(std::int64_t native_id, bool ours, bool expected, Nanos now) noexcept {
  const std::size_t index = opened_.load(std::memory_order_relaxed);
  if (index == threads_.size()) return nullptr;
  TracedThread& thread = *new (&threads_[index]) TracedThread{};
  thread.open(native_id, ours, expected, now);
  opened_.store(index + 1, std::memory_order_release);
  return &thread;
}

void TraceBook::asked(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept {
  if (&thread != &crowd_)
    thread.asked(now, wanted_it_all_along);  // of many that ask at once it would know one
}

void TraceBook::acquired(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept {
  const Ended wait = thread.acquired(now, wanted_it_all_along && &thread != &crowd_);
  if (!wait) return;
  log(TraceEvent::kWait, thread, wait);
  if (thread.ours()) return;
  const Nanos duration = wait.end - wait.start;
  wait_total_ += duration;
  wait_max_ = std::max(wait_max_, duration);
  waits_.add(duration);
}

void TraceBook::released(TracedThread& thread, Nanos now, bool forced) noexcept {
  const Ended hold = thread.released(now, forced);
  if (!hold) return;
  log(TraceEvent::kHold, thread, hold);
  if (thread.ours()) return;
  const Nanos duration = hold.end - hold.start;
  held_total_ += duration;
  holds_.add(duration);
}

std::uint32_t TraceBook::serial_of(const TracedThread& thread) const noexcept {
  return static_cast<std::uint32_t>(
      &thread == &crowd_ ? threads_.size() : static_cast<std::size_t>(&thread - &threads_[0]));
}

void TraceBook::log(TraceEvent::Kind kind, const TracedThread& thread, Ended interval) noexcept {
  if (events_.size() == 0 || interval.end - interval.start < least_event_) return;
  // Not written_ % size: a division takes as long as all the rest.
  if (next_ == events_.size()) next_ = 0;
  events_[next_++] = {interval.start, interval.end, serial_of(thread), kind};
  ++written_;
}

// ---- by readers --------------------------------------------------------------------------------

void TraceBook::expect(std::int64_t native_id, Nanos now) noexcept {
  for (std::size_t i = 0; i < opened(); ++i) {
    if (threads_[i].native_id() == native_id && !threads_[i].ended()) return;
  }
  if (add(native_id, false, true, now) == nullptr) return;
  ++expected_;
  expected_end_ = opened();
}

void TraceBook::begin(Nanos now) noexcept {
  if (observed_ == 0) start_ = now;
  resumed_ = now;
  for (std::size_t i = 0; i < opened(); ++i) threads_[i].resume(now);
  crowd_.resume(now);
}

void TraceBook::end(Nanos now, const IsAlive& is_alive) {
  find_ended(now, is_alive);
  for (std::size_t i = 0; i < opened(); ++i) {
    if (!threads_[i].ours()) held_total_ += threads_[i].holding_for(now);
    threads_[i].pause(now);
  }
  crowd_.pause(now);
  observed_ += now - resumed_;
  resumed_ = 0;
  end_ = now;
}

void TraceBook::reset(Nanos now) noexcept {
  for (std::size_t i = 0; i < opened(); ++i) threads_[i].reset(now);
  crowd_.reset(now);
  ++epoch_;
  start_ = end_ = now;
  if (resumed_ != 0) resumed_ = now;
  observed_ = held_total_ = wait_total_ = wait_max_ = 0;
  waits_.clear();
  holds_.clear();
  written_ = next_ = 0;
}

void TraceBook::find_ended(Nanos now, const IsAlive& is_alive) {
  // The system gives out numbers again: of two threads with one number the newer is there.
  std::unordered_set<std::int64_t> newer;
  for (std::size_t i = opened(); i-- > 0;) {
    TracedThread& thread = threads_[i];
    const bool newest = newer.insert(thread.native_id()).second;
    if (thread.ended()) continue;
    if (thread.holding() || (newest && is_alive(thread.native_id()))) {
      thread.seen(now);
    } else {
      thread.end();
    }
  }
}

TraceReading TraceBook::read(Nanos now, const IsAlive& is_alive) {
  if (running()) find_ended(now, is_alive);
  const Nanos end = running() ? now : end_;
  TraceReading reading;
  reading.epoch = epoch_;
  reading.start = start_;
  reading.end = end;
  reading.observed = observed_ + (running() ? now - resumed_ : 0);
  reading.wait_total = wait_total_;
  reading.wait_max = wait_max_;
  reading.waits = waits_.occupied();
  reading.holds = holds_.occupied();
  reading.all += crowd_.totals(end);
  reading.all.lived = 0;  // the crowd is no thread
  reading.crowd_held = reading.all.held;
  const std::size_t count = opened();
  reading.threads.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const TracedThread& thread = threads_[i];
    ThreadReading one{.native_id = thread.native_id(),
                      .serial = static_cast<std::int64_t>(i),
                      .since = thread.since(),
                      .ours = thread.ours(),
                      .alive = !thread.ended(),
                      .holding_since = thread.holding_since(),
                      .totals = thread.totals(end)};
    if (!one.ours) {
      reading.all += one.totals;
      reading.in_flight = std::max(reading.in_flight, thread.waiting_for(end));
    }
    reading.threads.push_back(one);
  }
  return reading;
}

ThreadShare TraceBook::share_of(const TracedThread& thread, Nanos now) const noexcept {
  const ThreadTotals own = thread.totals(now);
  // Its hold that still goes on is not in the sum of those that ended.
  const Nanos ended = own.held - thread.holding_for(now);
  const bool counted = !thread.ours();
  return {own.held, own.waited, held_total_ - (counted ? ended : 0), &thread != &crowd_};
}

std::int64_t TraceBook::native_id(std::uint32_t serial) const noexcept {
  return serial < opened() ? threads_[serial].native_id() : 0;
}

std::vector<TraceEvent> TraceBook::events() const {
  std::vector<TraceEvent> result;
  const std::size_t kept = std::min(written_, events_.size());
  result.reserve(kept);
  const std::size_t oldest = written_ > events_.size() ? next_ : 0;
  for (std::size_t i = 0; i < kept; ++i) {
    const std::size_t at = oldest + i;
    result.push_back(events_[at < events_.size() ? at : at - events_.size()]);
  }
  return result;
}

}  // namespace gilknocker
