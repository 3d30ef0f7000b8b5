// What a trace knows of one thread: whether it holds the GIL, waits for it or does without, and for
// how long in all.
//
// Thread safety: "the lock" below is the mutex inside the traced GIL.
//   asked(), acquired(), released()   called by the thread itself, with the lock held.
//   everything else                   called with the GIL held. That suffices to read what
//                                     acquired() and released() write: no other thread is in them
//                                     then, and who was there before unlocked the lock before we
//                                     locked it.
//   asking_since_, out_since_,        are written and read by asked() too, which needs no GIL:
//   asked_at_, out_at_                atomic. Relaxed suffices, for each is one number and nothing
//                                     is read by it; but asked_at_ belongs to the request, and is
//                                     published by it: release, and acquire where both are read.
//                                     A request that began before a reset, or before the thread
//                                     was there, counts from then on.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

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
  std::int64_t wanted_releases = 0;  // another thread of the program waited then
  std::int64_t retakes = 0;      // of those: it was the next to have it, and the other waited on
  std::int64_t passed_over = 0;  // so often another let go and was the next, while it waited
  Nanos passed_over_waits = 0;   // the time of its waits in which that happened
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
  // One thread of the program, and not many that are taken together.
  bool is_apart() const noexcept { return apart_; }
  void stand_for_many() noexcept { apart_ = false; }
  bool ended() const noexcept { return ended_; }

  // It begins to wait, unless it does so already. If it `wanted_it_all_along`, it has waited since
  // it last let go: it was made to. Whether it began. `returns`: how often the
  // GIL has gone back to who had let go of it, so far.
  bool asked(Nanos now, bool wanted_it_all_along, std::int64_t returns = 0) noexcept;
  // The wait that ends, and the hold.
  Ended acquired(Nanos now, bool wanted_it_all_along, std::int64_t returns = 0) noexcept;
  // The same of one that does not wait, and did not want it all along.
  void acquired_at_once(Nanos now) noexcept {
    holding_since_ = now;
    ++totals_.acquisitions;
  }
  Ended released(Nanos now, bool forced, std::int64_t returns = 0) noexcept {
    totals_.forced_releases += forced;
    if (holding()) return released_at_once(now, returns);
    let_go(now, returns);
    return {};  // it was taken before the trace began
  }
  // The same of one that holds it, and was not asked to let go.
  Ended released_at_once(Nanos now, std::int64_t returns) noexcept {
    let_go(now, returns);
    const Nanos since = std::exchange(holding_since_, 0);
    const Nanos hold = now - since;
    totals_.held += hold;
    if (hold > totals_.longest_hold) totals_.longest_hold = hold;
    ++totals_.holds;
    return {since, now};
  }
  // It has just let go while another waited; and has it again, before anybody else.
  void let_go_of_wanted() noexcept { ++totals_.wanted_releases; }
  void retook() noexcept { ++totals_.retakes; }

  // The holder of the GIL, when the trace begins.
  void holds_from(Nanos now) noexcept;
  // The trace pauses: what is going on counts up to now. And goes on: nothing is known to go on.
  void pause(Nanos now, std::int64_t returns = 0) noexcept;
  void resume(Nanos now, std::int64_t returns = 0) noexcept;
  // All counts from zero; what is going on counts from now.
  void reset(Nanos now, std::int64_t returns = 0) noexcept;
  // It is still there. And is no more: it lived until it last let go of the GIL or was last seen,
  // for what was told of its life must not be taken back.
  void seen(Nanos now) noexcept { seen_ = now; }
  void end() noexcept;

  bool holding() const noexcept { return holding_since_ != 0; }
  Nanos holding_since() const noexcept { return holding_since_; }  // 0: it does not hold it
  Nanos holding_for(Nanos now) const noexcept;                     // 0 if it does not hold the GIL
  bool waits() const noexcept { return asking_since_.load(std::memory_order_relaxed) != 0; }
  Nanos waiting_for(Nanos now) const noexcept;  // 0 if it does not wait
  // With what is going on counted up to now.
  ThreadTotals totals(Nanos now, std::int64_t returns = 0) const noexcept;

 private:
  void let_go(Nanos now, std::int64_t returns) noexcept {
    out_since_.store(now, std::memory_order_relaxed);
    out_at_.store(returns, std::memory_order_relaxed);
  }

  std::int64_t native_id_;
  Nanos since_;
  bool ours_;
  bool apart_;
  bool expected_;
  bool ended_;
  std::uint32_t serial_;
  EndMark end_mark_;
  Nanos living_since_;                  // 0: paused or ended
  Nanos holding_since_;                 // 0: it does not hold the GIL
  Nanos seen_;                          // when a reader last found it there
  std::atomic<Nanos> out_since_;        // when it last let go, or was first seen
  std::atomic<Nanos> asking_since_;     // 0: it does not wait
  std::atomic<std::int64_t> asked_at_;  // so many returns
  std::atomic<std::int64_t> out_at_;
  ThreadTotals totals_;
};

}  // namespace gilknocker
