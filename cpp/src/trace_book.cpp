#include "gilknocker/trace_book.hpp"

#include <algorithm>
#include <new>
#include <unordered_set>
#include <utility>

namespace gilknocker {
namespace {

std::uint64_t next_id() noexcept {
  static std::atomic<std::uint64_t> last{0};  // relaxed: only ever compared
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Rarely enough to cost next to nothing, often enough that what ended does not pile up.
constexpr std::size_t kFoldAfter = 32;

Nanos weight(const TracedThread& thread) noexcept {
  if (thread.ours()) return -1;
  const ThreadTotals totals = thread.totals(0);  // it has ended: nothing goes on
  return totals.held + totals.waited;
}

}  // namespace

TraceBook::TraceBook(std::size_t events, Nanos now, std::size_t threads, Nanos least_event,
                     std::shared_ptr<WaiterCount> waiters)
    : id_(next_id()),
      least_event_(events == 0 ? kNever : least_event),
      waiters_(std::move(waiters)),
      slots_(threads),
      free_(threads),
      ended_(threads),
      events_(events),
      fold_after_(kFoldAfter),
      start_(now),
      end_(now) {
  crowd_.open(0, false, false, now);
  crowd_.mark(kCrowdSerial, {});
  crowd_.stand_for_many();
}

// ---- by the hooks ------------------------------------------------------------------------------

TracedThread& TraceBook::enter(std::int64_t native_id, bool ours, Nanos now, EndMark end) noexcept {
  if (expected_ != 0) {
    if (TracedThread* const thread = met(native_id, ours, end)) return *thread;
  }
  TracedThread* const thread = add(native_id, ours, false, now, end);
  return thread != nullptr ? *thread : crowd_;
}

TracedThread* TraceBook::met(std::int64_t native_id, bool ours, EndMark end) noexcept {
  TracedThread* found = nullptr;
  for_each([&](TracedThread& thread) {
    if (found == nullptr && thread.native_id() == native_id && !thread.ended() &&
        thread.meet(ours)) {
      found = &thread;
    }
  });
  if (found == nullptr) return nullptr;
  --expected_;
  found->mark(ours ? next_serial(true) : found->serial(), end);
  return found;
}

TraceBook::Slot* TraceBook::free_slot() noexcept {
  if (free_count_ != 0) return &slots_[free_[--free_count_]];
  const std::size_t index = opened_.load(std::memory_order_relaxed);
  return index == slots_.size() ? nullptr : new (&slots_[index]) Slot{};
}

std::uint32_t TraceBook::next_serial(bool ours) noexcept {
  if (ours) return kFirstOwn + own_serials_++ % kFirstOwn;
  return std::min(serials_++, kFoldedSerial - 1);
}

TracedThread* TraceBook::add(std::int64_t native_id, bool ours, bool expected, Nanos now,
                             EndMark end) noexcept {
  Slot* const slot = free_slot();
  if (slot == nullptr) return nullptr;
  slot->thread.open(native_id, ours, expected, now);
  slot->thread.mark(next_serial(ours), end);
  slot->in_use.store(true, std::memory_order_release);
  const auto index = static_cast<std::size_t>(slot - &slots_[0]);
  if (index == opened_.load(std::memory_order_relaxed)) {
    opened_.store(index + 1, std::memory_order_release);
  }
  ++entered_;
  return &slot->thread;
}

void TraceBook::fold() noexcept {
  std::size_t ended = 0;
  std::size_t alive = 0;
  const std::size_t count = opened();
  for (std::size_t i = 0; i < count; ++i) {
    if (!slots_[i].in_use.load(std::memory_order_relaxed)) continue;
    TracedThread& thread = slots_[i].thread;
    if (thread.end_mark().has_ended() && !thread.holding()) finish(thread);
    if (thread.ended()) {
      ended_[ended++] = static_cast<std::uint32_t>(i);
    } else {
      ++alive;
    }
  }
  if (ended > kEndedKept) {
    std::nth_element(&ended_[0], &ended_[kEndedKept], &ended_[0] + ended,
                     [this](std::uint32_t a, std::uint32_t b) {
                       return weight(slots_[a].thread) > weight(slots_[b].thread);
                     });
  }
  for (std::size_t i = kEndedKept; i < ended; ++i) {
    Slot& slot = slots_[ended_[i]];
    const ThreadTotals totals = slot.thread.totals(0);
    if (!slot.thread.ours()) {
      folded_ += totals;
      folded_threads_ += totals.lived != 0 || totals.acquisitions != 0;  // since a reset
    }
    slot.in_use.store(false, std::memory_order_relaxed);
    free_[free_count_++] = ended_[i];
  }
  entered_ = 0;
  fold_after_ = std::max(kFoldAfter, alive / 8);
}

void TraceBook::finish(TracedThread& thread) noexcept {
  if (!thread.ours() && thread.waits()) waiters_->ended();
  thread.end();
}

void TraceBook::asked(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept {
  if (&thread == &crowd_) return;  // of many that ask at once it would know one
  if (thread.asked(now, wanted_it_all_along, returns_) && !thread.ours()) waiters_->began();
}

void TraceBook::end_wait(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept {
  if (thread.waits() && !thread.ours()) waiters_->ended();
  const Ended wait = thread.acquired(now, wanted_it_all_along && &thread != &crowd_, returns_);
  if (!wait) return;
  log(TraceEvent::kWait, thread, wait);
  if (thread.ours()) return;
  const Nanos duration = wait.end - wait.start;
  wait_total_ += duration;
  wait_max_ = std::max(wait_max_, duration);
  waits_.add(duration);
}

// ---- by readers --------------------------------------------------------------------------------

void TraceBook::expect(std::int64_t native_id, Nanos now) noexcept {
  bool known = false;
  for_each([&](const TracedThread& thread) {
    known = known ||
            (thread.native_id() == native_id && !thread.ended() && !thread.end_mark().has_ended());
  });
  if (!known && add(native_id, false, true, now, {}) != nullptr) ++expected_;
}

void TraceBook::begin(Nanos now) noexcept {
  if (observed_ == 0) start_ = now;
  resumed_ = now;
  for_each([this, now](TracedThread& thread) { thread.resume(now, returns_); });
  crowd_.resume(now, returns_);
  // Nor of one that asked then.
  waiters_->clear();
  let_go_last_ = nullptr;
}

void TraceBook::end(Nanos now, const IsAlive& is_alive) {
  find_ended(in_order(), now, is_alive);
  for_each([this, now](TracedThread& thread) {
    if (!thread.ours()) held_total_ += thread.holding_for(now);
    thread.pause(now, returns_);
  });
  crowd_.pause(now, returns_);
  waiters_->clear();
  holder_ = nullptr;
  observed_ += now - resumed_;
  resumed_ = 0;
  end_ = now;
}

void TraceBook::reset(Nanos now) noexcept {
  for_each([this, now](TracedThread& thread) { thread.reset(now, returns_); });
  crowd_.reset(now, returns_);
  ++epoch_;
  start_ = end_ = now;
  if (resumed_ != 0) resumed_ = now;
  observed_ = held_total_ = wait_total_ = wait_max_ = 0;
  folded_ = {};
  folded_threads_ = 0;
  waits_.clear();
  holds_.clear();
  written_ = next_ = 0;
}

std::vector<TracedThread*> TraceBook::in_order() {
  std::vector<TracedThread*> threads;
  threads.reserve(opened());
  for_each([&threads](TracedThread& thread) { threads.push_back(&thread); });
  std::sort(threads.begin(), threads.end(),
            [](const TracedThread* a, const TracedThread* b) { return a->serial() < b->serial(); });
  return threads;
}

void TraceBook::find_ended(const std::vector<TracedThread*>& threads, Nanos now,
                           const IsAlive& is_alive) {
  const bool some_unmarked = std::any_of(threads.begin(), threads.end(), [](const auto* thread) {
    return !thread->ended() && thread->end_mark().count == nullptr;
  });
  // The system gives out numbers again: of two threads with one number the newer is there.
  std::unordered_set<std::int64_t> newer;
  for (std::size_t i = threads.size(); i-- > 0;) {
    TracedThread& thread = *threads[i];
    const bool newest = some_unmarked && newer.insert(thread.native_id()).second;
    if (thread.ended()) continue;
    const EndMark& end = thread.end_mark();
    const bool here =
        end.count != nullptr ? !end.has_ended() : newest && is_alive(thread.native_id());
    if (thread.holding() || here) {
      thread.seen(now);
    } else {
      finish(thread);
    }
  }
}

TraceReading TraceBook::read(Nanos now, const IsAlive& is_alive) {
  const std::vector<TracedThread*> threads = in_order();
  if (running()) find_ended(threads, now, is_alive);
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
  reading.all += crowd_.totals(end, returns_);
  reading.all.lived = 0;  // the crowd is no thread
  reading.crowd_held = reading.all.held;
  reading.all += folded_;
  reading.folded = folded_;
  reading.folded_threads = folded_threads_;
  reading.threads.reserve(threads.size());
  for (const TracedThread* const thread : threads) {
    ThreadReading one{.native_id = thread->native_id(),
                      .serial = thread->serial(),
                      .since = thread->since(),
                      .ours = thread->ours(),
                      .alive = !thread->ended(),
                      .holding_since = thread->holding_since(),
                      .totals = thread->totals(end, returns_)};
    if (!one.ours) {
      reading.all += one.totals;
      reading.in_flight = std::max(reading.in_flight, thread->waiting_for(end));
    }
    reading.threads.push_back(one);
  }
  return reading;
}

ThreadShare TraceBook::share_of(const TracedThread& thread, Nanos now) const noexcept {
  const ThreadTotals own = thread.totals(now, returns_);
  // Its hold that still goes on is not in the sum of those that ended.
  const Nanos ended = own.held - thread.holding_for(now);
  const bool counted = !thread.ours();
  return {own.held, own.waited, held_total_ - (counted ? ended : 0), &thread != &crowd_};
}

std::int64_t TraceBook::native_id(std::uint32_t serial) noexcept {
  std::int64_t found = 0;
  for_each([&](const TracedThread& thread) {
    if (thread.serial() == serial) found = thread.native_id();
  });
  return found;
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
