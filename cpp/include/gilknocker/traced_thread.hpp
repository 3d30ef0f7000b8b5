// What a trace knows of one thread: whether it holds the GIL, waits for it or does without, and for
// how long in all.
//
// Thread safety: "the lock" below is the mutex inside the traced GIL.
//   asked(), acquired(), released()   called by the thread itself, with the lock held.
//   everything else                   called with the GIL held. That suffices to read what
//                                     acquired() and released() write: no other thread is in them
//                                     then, and who was there before unlocked the lock before we
//                                     locked it.
//   asking_since_, out_since_         are written and read by asked() too, which needs no GIL:
//                                     atomic. Relaxed suffices, for each is one number and nothing
//                                     is read by it. A request that began before a reset, or
//                                     before the thread was there, counts from then on.
#pragma once

#include <atomic>
#include <cstdint>

#include "gilknocker/nanos.hpp"

namespace gilknocker {

struct ThreadTotals {
  Nanos held = 0;
  Nanos waited = 0;
  Nanos lived = 0;  // with the trace running
  std::int64_t acquisitions = 0;
  std::int64_t holds = 0;            // ended ones
  std::int64_t waits = 0;            // ended ones
  std::int64_t forced_releases = 0;  // another thread had asked it to let go
  Nanos longest_hold = 0;
  Nanos longest_wait = 0;

  ThreadTotals& operator+=(const ThreadTotals& other) noexcept;
};

// An interval that has just ended; none if `end` is 0.
struct Ended {
  Nanos start = 0;
  Nanos end = 0;

  explicit operator bool() const noexcept { return end != 0; }
};

// Tells when one thread has ended: `count` is another then. Of no thread if it is null.
struct EndMark {
  const std::atomic<std::uint32_t>* count = nullptr;
  std::uint32_t before = 0;

  bool has_ended() const noexcept {
    return count != nullptr && count->load(std::memory_order_acquire) != before;
  }
};

class TracedThread {
 public:
  // `expected`: it is known to be there, but was not met yet.
  void open(std::int64_t native_id, bool ours, bool expected, Nanos now) noexcept;
  // What it is called, and by what its end is known.
  void mark(std::uint32_t serial, EndMark end) noexcept {
    serial_ = serial;
    end_mark_ = end;
  }
  std::uint32_t serial() const noexcept { return serial_; }
  const EndMark& end_mark() const noexcept { return end_mark_; }
  // At the first time true, of a thread that was expected. Whose it is was not known before, and
  // nothing was counted.
  bool meet(bool ours) noexcept;

  std::int64_t native_id() const noexcept { return native_id_; }
  Nanos since() const noexcept { return since_; }  // when it was first seen
  bool ours() const noexcept { return ours_; }
  bool ended() const noexcept { return ended_; }

  // It begins to wait, unless it does so already. If it `wanted_it_all_along`, it has waited since
  // it last let go: it was made to.
  void asked(Nanos now, bool wanted_it_all_along) noexcept;
  Ended acquired(Nanos now, bool wanted_it_all_along) noexcept;  // the wait that ends
  Ended released(Nanos now, bool forced) noexcept;               // the hold that ends

  // The holder of the GIL, when the trace begins.
  void holds_from(Nanos now) noexcept;
  // The trace pauses: what is going on counts up to now. And goes on: nothing is known to go on.
  void pause(Nanos now) noexcept;
  void resume(Nanos now) noexcept;
  // All counts from zero; what is going on counts from now.
  void reset(Nanos now) noexcept;
  // It is still there. And is no more: it lived until it last let go of the GIL or was last seen,
  // for what was told of its life must not be taken back.
  void seen(Nanos now) noexcept { seen_ = now; }
  void end() noexcept;

  bool holding() const noexcept { return holding_since_ != 0; }
  Nanos holding_since() const noexcept { return holding_since_; }  // 0: it does not hold it
  Nanos holding_for(Nanos now) const noexcept;                     // 0 if it does not hold the GIL
  Nanos waiting_for(Nanos now) const noexcept;                     // 0 if it does not wait
  // With what is going on counted up to now.
  ThreadTotals totals(Nanos now) const noexcept;

 private:
  std::int64_t native_id_;
  Nanos since_;
  bool ours_;
  bool expected_;
  bool ended_;
  std::uint32_t serial_;
  EndMark end_mark_;
  Nanos living_since_;               // 0: paused or ended
  Nanos holding_since_;              // 0: it does not hold the GIL
  Nanos seen_;                       // when a reader last found it there
  std::atomic<Nanos> out_since_;     // when it last let go, or was first seen
  std::atomic<Nanos> asking_since_;  // 0: it does not wait
  ThreadTotals totals_;
};

}  // namespace gilknocker
