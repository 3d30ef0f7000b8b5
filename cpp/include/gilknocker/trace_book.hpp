// Everything one tracer has seen: threads, sums, histograms, and the newest intervals.
//
// Thread safety: "the lock" is the mutex inside the traced GIL.
//   enter(), asked(), acquired(), released()   called with the lock held: one at a time. Plain
//       integers suffice for their sums, for readers hold the GIL: nobody takes or drops it then.
//   everything else                            called with the GIL held.
//   acquired()                                 is called with the GIL held, too.
//   opened_, in_use   are written by enter(), also for a thread that only asks and has no GIL:
//                     atomic, published with release after the slot was filled in, read with
//                     acquire. A slot is given back by fold() only, with the lock and the GIL.
// Nothing here allocates once it is constructed, but read() and the copies.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "gilknocker/live_count.hpp"
#include "gilknocker/mapped_array.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/traced_thread.hpp"
#include "gilknocker/wait_histogram.hpp"
#include "gilknocker/waiter_count.hpp"

namespace gilknocker {

// An interval that has ended.
struct TraceEvent {
  enum Kind : std::uint32_t { kHold, kWait };
  Nanos start;
  Nanos end;
  std::uint32_t thread;  // its serial
  Kind kind;
};

struct ThreadReading {
  std::int64_t native_id = 0;
  std::int64_t serial = 0;
  Nanos since = 0;  // when it was first seen
  bool ours = false;
  bool alive = true;
  Nanos holding_since = 0;  // 0: it does not hold the GIL
  ThreadTotals totals;
};

// The GIL as one thread has it, up to now.
struct ThreadShare {
  Nanos held = 0;
  Nanos waited = 0;
  Nanos held_by_others = 0;  // of the program
  bool known = false;        // false: it found no room
};

struct TraceReading {
  std::int64_t epoch = 0;
  Nanos start = 0;
  Nanos end = 0;
  Nanos observed = 0;
  ThreadTotals all;  // of the program's threads, each with what is going on counted up to the end
  Nanos crowd_held = 0;  // of that, by threads that found no room: their waits are not known
  ThreadTotals folded;   // of that, by threads that ended and are kept together,
  std::int64_t folded_threads = 0;  // so many
  Nanos in_flight = 0;              // of the wait that has been going on for longest
  Nanos wait_total = 0;             // of the waits that ended
  Nanos wait_max = 0;
  std::vector<HistogramBucket> waits;
  std::vector<HistogramBucket> holds;
  std::vector<ThreadReading> threads;
};

class TraceBook : private LiveCount<TraceBook> {
 public:
  using LiveCount<TraceBook>::value;
  using IsAlive = std::function<bool(std::int64_t native_id)>;

  // So many at a time. Of those that ended the kEndedKept are kept apart that held the GIL or
  // waited for it longest: all others are put together, and their slots used again.
  static constexpr std::size_t kThreads = 16'384;
  static constexpr std::size_t kEndedKept = 256;
  // Serials: from 0, in the order in which they came; those of the meter's own threads from
  // kFirstOwn.
  static constexpr std::uint32_t kFirstOwn = 1U << 29;
  static constexpr std::uint32_t kCrowdSerial = kFirstOwn - 1;
  static constexpr std::uint32_t kFoldedSerial = kFirstOwn - 2;

  // Keeps the newest `events` of the intervals that are at least so long, and lets `waiters` know
  // how many threads of the program wait. Throws std::bad_alloc.
  explicit TraceBook(std::size_t events, Nanos now, std::size_t threads = kThreads,
                     Nanos least_event = 0,
                     std::shared_ptr<WaiterCount> waiters = std::make_shared<WaiterCount>());

  // Never the same for two books of a process, so that a thread can tell whose slot it remembers.
  std::uint64_t id() const noexcept { return id_; }

  // ---- by the hooks ----
  TracedThread& enter(std::int64_t native_id, bool ours, Nanos now, EndMark end = {}) noexcept;
  TracedThread& crowd() noexcept { return crowd_; }  // of a thread that finds no room
  void asked(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept;
  void acquired(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept {
    if (entered_ >= fold_after_) [[unlikely]]
      fold();
    if (thread.waits() || wanted_it_all_along) [[unlikely]]
      end_wait(thread, now, wanted_it_all_along);
    else
      thread.acquired_at_once(now);
    note_holder(thread);
  }
  // The same of one that does not wait, did not want it all along, and was not entered since it
  // last had it: each that is calls acquired() then, which folds.
  void acquired_at_once(TracedThread& thread, Nanos now) noexcept {
    thread.acquired_at_once(now);
    note_holder(thread);
  }
  void released(TracedThread& thread, Nanos now, bool forced) noexcept {
    holder_ = nullptr;
    const Ended hold = thread.released(now, forced, returns_);
    if (thread.is_apart()) {
      note_let_go(thread);
    } else {
      let_go_last_ = nullptr;
    }
    if (!hold) return;
    log(TraceEvent::kHold, thread, hold);
    if (!thread.ours()) count_hold(hold);
  }
  // The same of one that holds it, was not asked to let go, and is_apart().
  void released_at_once(TracedThread& thread, Nanos now) noexcept {
    holder_ = nullptr;
    const Ended hold = thread.released_at_once(now, returns_);
    note_let_go(thread);
    log(TraceEvent::kHold, thread, hold);
    count_hold(hold);
  }
  // The thread that has taken it, and not let go since, as far as acquired() and holds() know.
  TracedThread* holder() const noexcept { return holder_; }
  // `thread` has it already. REQUIRES: no hook knows the book yet.
  void holds(TracedThread& thread, Nanos now) noexcept {
    thread.holds_from(now);
    holder_ = &thread;
  }

  // ---- by readers ----
  // A thread that is there, to be recognised when it comes; nothing if it is known. REQUIRES: no
  // hook knows the book yet.
  void expect(std::int64_t native_id, Nanos now) noexcept;
  // A run lies between begin() and end().
  void begin(Nanos now) noexcept;
  void end(Nanos now, const IsAlive& is_alive);
  void reset(Nanos now) noexcept;
  bool running() const noexcept { return resumed_ != 0; }
  Nanos observed() const noexcept { return observed_; }  // in the runs that ended
  TraceReading read(Nanos now, const IsAlive& is_alive);
  // In constant time. REQUIRES: called by `thread` itself, so that nobody else holds the GIL.
  ThreadShare share_of(const TracedThread& thread, Nanos now) const noexcept;
  // The newest intervals, oldest first.
  std::vector<TraceEvent> events() const;
  std::int64_t native_id(std::uint32_t serial) noexcept;  // 0 of the crowd, and of those folded

 private:
  std::size_t opened() const noexcept { return opened_.load(std::memory_order_acquire); }
  // A thread's numbers, in use or to be used again.
  struct Slot {
    TracedThread thread;
    std::atomic<bool> in_use;
  };
  template <typename Do>
  void for_each(Do each) {
    const std::size_t count = opened();
    for (std::size_t i = 0; i < count; ++i) {
      if (slots_[i].in_use.load(std::memory_order_acquire)) each(slots_[i].thread);
    }
  }
  Slot* free_slot() noexcept;
  TracedThread* add(std::int64_t native_id, bool ours, bool expected, Nanos now,
                    EndMark end) noexcept;
  std::uint32_t next_serial(bool ours) noexcept;
  TracedThread* met(std::int64_t native_id, bool ours, EndMark end) noexcept;
  void fold() noexcept;
  void note_holder(TracedThread& thread) noexcept {
    holder_ = &thread;
    bool retakes = false;
    if (let_go_last_ == &thread) {
      ++returns_;
      retakes = waiters_->now() != 0;
      if (retakes) [[unlikely]]
        thread.retook();
    }
    waiters_->held(retakes);
  }
  void note_let_go(TracedThread& thread) noexcept {
    let_go_last_ = &thread;
    if (waiters_->now() != 0) thread.let_go_of_wanted();
  }
  void count_hold(Ended hold) noexcept {
    const Nanos duration = hold.end - hold.start;
    held_total_ += duration;
    holds_.add(duration);
  }
  void end_wait(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept;
  void finish(TracedThread& thread) noexcept;
  void log(TraceEvent::Kind kind, const TracedThread& thread, Ended interval) noexcept {
    if (interval.end - interval.start < least_event_) return;
    // Not written_ % size: a division takes as long as all the rest.
    if (next_ == events_.size()) next_ = 0;
    events_[next_++] = {interval.start, interval.end, thread.serial(), kind};
    ++written_;
  }
  std::vector<TracedThread*> in_order();  // by their serials
  // REQUIRES: `threads` are all there are, in order.
  void find_ended(const std::vector<TracedThread*>& threads, Nanos now, const IsAlive& is_alive);

  const std::uint64_t id_;
  const Nanos least_event_;                     // longer than any where none are kept
  const std::shared_ptr<WaiterCount> waiters_;  // a watcher of stacks may outlive the book
  MappedArray<Slot> slots_;
  MappedArray<std::uint32_t> free_;   // indices; with the lock
  MappedArray<std::uint32_t> ended_;  // of fold()
  MappedArray<TraceEvent> events_;
  TracedThread crowd_{};  // stands for all threads that find no room
  std::atomic<std::size_t> opened_{0};
  std::size_t expected_ = 0;    // those not met yet
  std::size_t free_count_ = 0;  // with the lock, as are the next three
  std::size_t entered_ = 0;     // since fold() was last called, which is to be
  std::size_t fold_after_;      // after so many
  std::uint32_t serials_ = 0;   // given out
  std::uint32_t own_serials_ = 0;
  std::size_t written_ = 0;  // events, also those overwritten since
  std::size_t next_ = 0;     // where in the ring the next one goes, or one past its end

  std::int64_t epoch_ = 0;
  Nanos start_;
  Nanos end_;
  Nanos resumed_ = 0;  // 0: not running
  Nanos observed_ = 0;
  Nanos held_total_ = 0;  // of the program's holds that ended
  ThreadTotals folded_;   // with the lock and the GIL, or the GIL where no hook is in acquired()
  std::int64_t folded_threads_ = 0;
  TracedThread* holder_ = nullptr;  // with the lock and the GIL
  // Compared only. With the lock; null: no thread of the program. Who takes its slot after a fold
  // does so after another has let go.
  const TracedThread* let_go_last_ = nullptr;
  // How often it has gone back to that thread: with the lock and the GIL, read with either.
  std::int64_t returns_ = 0;
  Nanos wait_total_ = 0;
  Nanos wait_max_ = 0;
  WaitHistogram waits_;
  WaitHistogram holds_;
};

}  // namespace gilknocker
