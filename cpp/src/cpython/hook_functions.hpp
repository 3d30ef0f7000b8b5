// The hooks themselves: what they do at each signal and wait, and what they share.
//
// Thread safety: see gil_hooks.hpp. The thread-local ones are each thread's own.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cstddef>

#include "cpython/gil_hooks.hpp"
#include "gilknocker/hook_local.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/trace_book.hpp"

namespace gilknocker::gil_hooks {

extern std::array<std::atomic<TraceBook*>, kMostBooks> books;
extern std::atomic<pthread_cond_t*> taken;
extern std::atomic<pthread_cond_t*> dropped;

// Told when this thread asks for the GIL: of the self-test's own.
extern GILKNOCKER_HOOK_LOCAL sem_t* tell_asked;
// What the calibrating thread itself signals, by call.
extern GILKNOCKER_HOOK_LOCAL bool calibrating;
extern GILKNOCKER_HOOK_LOCAL int signalled;
extern GILKNOCKER_HOOK_LOCAL pthread_cond_t* last_signalled;

inline Nanos now_nanos() noexcept { return SystemClock().now(); }

// What the book in `books[index]` knows of the calling thread.
TracedThread& thread_in(TraceBook& book, std::size_t index, Nanos now) noexcept;

template <typename Event>
void tell_books(Event event) noexcept {
  for (std::size_t i = 0; i < books.size(); ++i) {
    TraceBook* const book = books[i].load(std::memory_order_acquire);
    if (book != nullptr) event(*book, i);
  }
}

int signal_hook(pthread_cond_t* cond) noexcept;
// The two waits are not noexcept, for they may be cancelled: a forced unwind goes through them.
int timedwait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex, const timespec* until);
int wait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex);

}  // namespace gilknocker::gil_hooks
