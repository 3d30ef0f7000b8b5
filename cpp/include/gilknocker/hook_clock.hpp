// The clock of the hooks: the CPU's own counter where it can be trusted, else the system's clock.
//
// A hook takes the time at every hand-over of the GIL, and CLOCK_MONOTONIC would be half of its
// cost. It reads the raw counter instead. Nanoseconds are made of it between two instants at which
// both clocks were read, so that they follow CLOCK_MONOTONIC wherever that is slewed to: of what is
// counted by who reads the sums (counted_time.hpp), of a trace at once (trace_clock.hpp).
//
// The counter is trusted if the kernel keeps time by it: it has then tested that all CPUs agree,
// and leaves it as soon as they do not.
//
// Thread safety
//   now(), instant()   any thread, also inside CPython's lock: no allocation, no lock, errno kept.
//   choose()           with the GIL held, while no hook is in: `source_` is read by the hooks.
//   source_            relaxed: written before the hooks are put in, and what they read first was
//                      published by the GIL's lock.
#pragma once

#include <atomic>
#include <cstdint>

#include "gilknocker/nanos.hpp"

namespace gilknocker {

// Of the counter, whatever its rate; modulo 2**64, as it comes out of the CPU.
using Cycles = std::uint64_t;

// One moment on both clocks.
struct Instant {
  Cycles cycles = 0;
  Nanos nanos = 0;
  Cycles width = 0;  // so many passed while both were read: the counter is off by half of it
};

class HookClock {
 public:
  enum class Source : unsigned char {
    kSystem,  // clock_gettime(CLOCK_MONOTONIC), or what the system has for it
    kTsc,     // x86-64: invariant
    kCntvct,  // aarch64: the generic timer's virtual count
  };

  // What this machine has. Reads a file of the kernel's.
  static Source find() noexcept;
  static void choose(Source source) noexcept;
  static Source source() noexcept { return source_.load(std::memory_order_relaxed); }
  static const char* name() noexcept;  // "tsc", "cntvct" or "clock_gettime"
  // What one reading took when it was chosen, ns: 10 to 20 for a counter, more where a hypervisor
  // or the kernel has a part in it. Written before any meter is there that asks, and never after.
  static Nanos reading_cost() noexcept { return reading_cost_.load(std::memory_order_relaxed); }

  static bool has_counter() noexcept { return source() != Source::kSystem; }
  // REQUIRES: has_counter()
  static Cycles counter() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_ia32_rdtsc();  // <x86intrin.h> has names for it, and takes long to compile
#elif defined(__aarch64__) && defined(__GNUC__)
    Cycles count;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
    return count;
#else
    return 0;
#endif
  }
  static Cycles now() noexcept { return has_counter() ? counter() : static_cast<Cycles>(nanos()); }
  static Nanos nanos() noexcept { return SystemClock().now(); }

  // After all loads that come before it in the program, and before all that follow: the CPU would
  // read its counter whenever it suits it.
  static Cycles now_in_order() noexcept {
    fence();
    const Cycles count = now();
    fence();
    return count;
  }

  static Instant instant() noexcept;
  // Cycles a nanosecond, on average since it was chosen. With the GIL held.
  static double rate() noexcept;

 private:
  static void fence() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_lfence();
#elif defined(__aarch64__) && defined(__GNUC__)
    __asm__ volatile("isb" ::: "memory");
#endif
  }

  static inline constinit std::atomic<Source> source_{Source::kSystem};
  static inline constinit Instant chosen_{};  // guarded by the GIL
  static inline constinit std::atomic<Nanos> reading_cost_{0};
};

// Reads the counter on both sides of the clock, a few times, and believes the tightest: a thread
// that loses its CPU in between has not seen one moment.
template <typename ReadCycles, typename ReadNanos>
Instant tightest_instant(ReadCycles read_cycles, ReadNanos read_nanos) noexcept {
  constexpr int kTries = 3;
  Instant best;
  Cycles width = ~Cycles{0};
  Cycles before = read_cycles();
  for (int i = 0; i < kTries; ++i) {
    const Nanos nanos = read_nanos();
    const Cycles after = read_cycles();
    if (after - before < width) {
      width = after - before;
      best = {before + width / 2, nanos, width};
    }
    before = after;
  }
  return best;
}

}  // namespace gilknocker
