// The clock of traces: CLOCK_MONOTONIC, told by the CPU's counter where that can be trusted.
//
// A hook takes the time at each take and drop of the GIL, and to ask the system for it was half of
// what a trace cost. Between two anchors, instants at which both clocks were read, it is
//
//     the anchor's time + (counter - the anchor's counter) * pace
//
// at the pace that lay between this anchor and the one before. The next one is due after 1 ms, then
// after 2, and so on up to 64: so the pace is known ever better. Where it was another than before,
// for CLOCK_MONOTONIC is slewed, it is 1 ms again. Time never goes back: where it is ahead of the
// system's at an anchor, it goes slower until they have met.
//
// A pace is believed that was the same twice in a row. Until then, for 2 ms, it is the system's
// clock that is asked; and again where an anchor is odd: it took long to read, or the counter went
// back, or at a pace that no slew explains, as where the machine was suspended, or is another one
// under the same system.
//
// How far it is from CLOCK_MONOTONIC: if each anchor was read to within e (half the time that both
// clocks take, some 20 ns), then by up to 6 e while the slew stays as it is. Where that changes, by
// the change times the time until the next anchor: 32 us, once, for the 500 ppm of adjtime().
//
// Thread safety: "the lock" is the mutex inside the traced GIL.
//   next()    by who takes or drops the GIL, with the lock and the GIL: alone writes the anchor.
//   now()     with the GIL held: no hook is in next() then.
//   beside()  with the lock held, as who asks for the GIL has it: nobody is in next() then either.
//   forget()  in a forked child, while it is the only thread.
//   last_     the latest time told to who had the GIL. Written by now() too, which may be beside
//             beside(): atomic. Relaxed suffices, for it is one number. What beside() tells is not
//             kept there, and may be later by what two CPUs' counters differ by.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "gilknocker/hook_clock.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

// `Machine` has the clocks: has_counter(), counter(), nanos() and instant(), as HookClock does.
class TraceClock {
 public:
  // Whether the time could be had of the counter alone; else nothing has happened, and next() is to
  // be called. REQUIRES: machine.has_counter()
  template <typename Machine>
  bool next_at_once(const Machine& machine, Nanos* now) noexcept {
    const Cycles passed = machine.counter() - cycles_;
    if (passed >= limit_) [[unlikely]]
      return false;
    *now = keep(at(passed));
    return true;
  }

  template <typename Machine>
  Nanos next(const Machine& machine) noexcept {
    if (!machine.has_counter()) return keep(machine.nanos());
    Nanos now = 0;
    if (next_at_once(machine, &now)) return now;
    if (!knows_pace() && begun_) {
      now = machine.nanos();
      if (now - true_ < kFirst) return keep(now);
    }
    return anchor(machine.instant());
  }

  template <typename Machine>
  Nanos now(const Machine& machine) noexcept {
    return keep(beside(machine));
  }

  template <typename Machine>
  Nanos beside(const Machine& machine) const noexcept {
    const Cycles passed = knows_pace() ? machine.counter() - cycles_ : 0;
    const Nanos now = passed < limit_ ? at(passed) : machine.nanos();
    return std::max(now, last_.load(std::memory_order_relaxed));
  }

  void forget() noexcept;

  static constexpr Nanos kFirst = 1'000'000;
  static constexpr Nanos kLongest = 64 * kFirst;

 private:
  static constexpr unsigned kShift = 32;  // of pace_: within 0.3 ns in a second

  bool knows_pace() const noexcept { return limit_ != 0; }
  // REQUIRES: passed < 2 * limit_, so that the product is less than 2 * kLongest << kShift: it fits
  Nanos at(Cycles passed) const noexcept {
    return nanos_ + static_cast<Nanos>(passed * pace_ >> kShift);
  }
  Nanos keep(Nanos now) noexcept {
    now = std::max(now, last_.load(std::memory_order_relaxed));
    last_.store(now, std::memory_order_relaxed);
    return now;
  }
  Nanos anchor(const Instant& read) noexcept;
  void follow(double pace, Nanos elapsed, Nanos ahead) noexcept;

  // What next_at_once() reads. In one cache line.
  alignas(64) Cycles cycles_ = 0;  // of the anchor
  Cycles limit_ = 0;               // so many later the next one is due; 0: the pace is not known
  std::uint64_t pace_ = 0;         // ns a cycle, << kShift
  Nanos nanos_ = 0;                // the anchor's time, as it is told
  std::atomic<Nanos> last_{0};
  // What anchor() needs besides.
  Nanos true_ = 0;      // the anchor's time, as the system had it
  Cycles width_ = 0;    // of its reading
  Nanos bound_ = 0;     // so long after it the next one is due
  double learnt_ = 0;   // ns a cycle, from the anchor before to this one; 0: not known
  bool begun_ = false;  // there is an anchor
};

}  // namespace gilknocker
