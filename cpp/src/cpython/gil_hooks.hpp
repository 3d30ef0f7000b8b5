// Every taking, dropping and asking of the GIL, as it happens: the interpreter's own calls of
// pthread_cond_*, redirected.
//
// CPython tells its GIL's condition variables of every change, with the GIL's mutex ("the lock")
// held: taking signals `switch_cond`, dropping signals `cond`, a thread that finds the GIL taken
// waits on `cond` with a timeout; one that was made to let go waits on `switch_cond`, with another
// mutex held, until somebody has taken it. Only the main interpreter's GIL is traced: those of
// sub-interpreters with a GIL of their own have other condition variables.
//
// Thread safety
//   all functions   with the GIL held. prepare*() and settle() let go of it, and take it again:
//                   where the interpreter ends, that may end the thread by a forced unwind, which
//                   nobody above them may catch.
//   the hooks       run on any thread, inside the lock: they allocate nothing, lock nothing, call
//                   no Python, and keep errno. What they share with attach() and detach() is
//                   atomic:
//     books        published with release, read with acquire, for what is behind the pointer must
//                  be seen. A book that was taken out may still be in use by a thread that asks for
//                  the GIL: settle() therefore goes through the lock once.
//     taken, dropped   written once, before any book is published; relaxed, for they are compared.
#pragma once

#include <cstdint>
#include <vector>

#include "gilknocker/trace_book.hpp"

namespace gilknocker::gil_hooks {

inline constexpr int kMostBooks = 4;

// Null where holds can be counted, else why not. Before all else; it costs little but once.
const char* prepare_counting();
// Called once, before attach(). Null where the GIL can be traced, else why not: a sentence without
// its full stop. Tries it out, with a thread of its own that waits for the GIL once; lets go of the
// GIL meanwhile, so that who else wants to call must not wait for this one with the GIL in hand.
const char* prepare();

// From now on `book` gets everything; the threads in `present` are there already. Throws
// std::runtime_error if it cannot be done (any more), or if there are kMostBooks already.
void attach(TraceBook& book, const std::vector<std::int64_t>& present);
// No more. Throws std::bad_alloc: to be called again then.
void detach(TraceBook& book);
// After detach(), and before the book is freed: whoever asked for the GIL meanwhile, and still had
// the book, is done with it.
void settle();

// The addresses of the redirected pointers; none while no book is attached.
std::vector<const void*> slots();

// The clock of all traces, beside CLOCK_MONOTONIC (trace_clock.hpp). With the GIL held.
Nanos trace_now() noexcept;

TraceReading read_book(TraceBook& book);

// Of the calling thread, in constant time; not known where the book is not attached.
ThreadShare share_of_this_thread(TraceBook& book) noexcept;

}  // namespace gilknocker::gil_hooks
