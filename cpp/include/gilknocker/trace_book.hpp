// Everything one tracer has seen: threads, sums, histograms, and the newest intervals.
//
// Thread safety: "the lock" is the mutex inside the traced GIL.
//   enter(), asked(), acquired(), released()   called with the lock held: one at a time. Plain
//       integers suffice for their sums, for readers hold the GIL: nobody takes or drops it then.
//   everything else                            called with the GIL held.
//   opened_   is written by enter(), also for a thread that only asks and has no GIL: atomic,
//             published with release after the slot was filled in, read with acquire.
// Nothing here allocates once it is constructed, but read() and the copies.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "gilknocker/live_count.hpp"
#include "gilknocker/mapped_array.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/traced_thread.hpp"
#include "gilknocker/wait_histogram.hpp"

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
  Nanos in_flight = 0;   // of the wait that has been going on for longest
  Nanos wait_total = 0;  // of the waits that ended
  Nanos wait_max = 0;
  std::vector<HistogramBucket> waits;
  std::vector<HistogramBucket> holds;
  std::vector<ThreadReading> threads;
};

class TraceBook : private LiveCount<TraceBook> {
 public:
  using LiveCount<TraceBook>::value;
  using IsAlive = std::function<bool(std::int64_t native_id)>;

  static constexpr std::size_t kThreads = 16'384;

  // Keeps the newest `events` of the intervals that are at least so long. Throws std::bad_alloc.
  explicit TraceBook(std::size_t events, Nanos now, std::size_t threads = kThreads,
                     Nanos least_event = 0);

  // Never the same for two books of a process, so that a thread can tell whose slot it remembers.
  std::uint64_t id() const noexcept { return id_; }

  // ---- by the hooks ----
  TracedThread& enter(std::int64_t native_id, bool ours, Nanos now) noexcept;
  TracedThread& crowd() noexcept { return crowd_; }  // of a thread that finds no room
  void asked(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept;
  void acquired(TracedThread& thread, Nanos now, bool wanted_it_all_along) noexcept;
  void released(TracedThread& thread, Nanos now, bool forced) noexcept;

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
  std::int64_t native_id(std::uint32_t serial) const noexcept;  // 0 of the crowd

 private:
  std::size_t opened() const noexcept { return opened_.load(std::memory_order_acquire); }
  TracedThread* add(std::int64_t native_id, bool ours, bool expected, Nanos now) noexcept;
  TracedThread* met(std::int64_t native_id, bool ours) noexcept;
  std::uint32_t serial_of(const TracedThread& thread) const noexcept;
  void log(TraceEvent::Kind kind, const TracedThread& thread, Ended interval) noexcept;
  void find_ended(Nanos now, const IsAlive& is_alive);

  const std::uint64_t id_;
  const Nanos least_event_;
  MappedArray<TracedThread> threads_;
  MappedArray<TraceEvent> events_;
  TracedThread crowd_{};  // stands for all threads that find no room
  std::atomic<std::size_t> opened_{0};
  std::size_t expected_ = 0;      // those not met yet, all among
  std::size_t expected_end_ = 0;  // the first so many
  std::size_t written_ = 0;       // events, also those overwritten since
  std::size_t next_ = 0;          // where in the ring the next one goes, or one past its end

  std::int64_t epoch_ = 0;
  Nanos start_;
  Nanos end_;
  Nanos resumed_ = 0;  // 0: not running
  Nanos observed_ = 0;
  Nanos held_total_ = 0;  // of the program's holds that ended
  Nanos wait_total_ = 0;
  Nanos wait_max_ = 0;
  WaitHistogram waits_;
  WaitHistogram holds_;
};

}  // namespace gilknocker
