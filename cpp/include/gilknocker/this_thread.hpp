// What our threads ask of the operating system, each for itself.
//
// Thread safety: each call concerns the calling thread only.
#pragma once

#include <optional>

#include "gilknocker/nanos.hpp"

namespace gilknocker::this_thread {

// What debuggers and `top` call it: at most 15 characters, ASCII.
void set_name(const char* name) noexcept;

// Timers that fire when they are due, not up to 50 us later (Linux's default slack).
void ask_for_exact_timers() noexcept;

// Asks the scheduler for a short slice, so that a wake-up preempts whoever has the CPU: a watcher
// that wakes late *because* the holder has its CPU reads low. Linux >= 6.12, unprivileged; changes
// nothing but the slice, and only under SCHED_OTHER. True if it took.
bool ask_for_short_slice() noexcept;

// What this thread has used so far; nothing where the system does not count that per thread.
struct Usage {
  Nanos cpu = 0;
  long voluntary_switches = 0;  // how often it gave its CPU away to wait for something
};
std::optional<Usage> usage() noexcept;

void sleep_for(Nanos duration) noexcept;  // or less, if a signal comes

// Whether this is a thread of the meter, and not of the program: not to be counted with it. Marked
// before it first asks for the GIL, or some of its sums would lie with the program's.
void mark_ours() noexcept;
bool is_ours() noexcept;

}  // namespace gilknocker::this_thread
