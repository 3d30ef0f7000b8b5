// The hooks themselves: what they do at each signal and wait, and what they share.
//
// Thread safety: see gil_hooks.hpp. A HookThread is its thread's own.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cpython/gil_hooks.hpp"
#include "cpython/let_go.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/per_thread.hpp"
#include "gilknocker/trace_book.hpp"

namespace gilknocker::gil_hooks {

extern std::array<std::atomic<TraceBook*>, kMostBooks> books;
extern std::atomic<int> attached;  // how many books there are; relaxed, as they
extern std::atomic<pthread_cond_t*> taken;
extern std::atomic<pthread_cond_t*> dropped;

// Of one thread.
struct HookThread {
  struct Seat {
    std::uint64_t book = 0;  // its id
    TracedThread* thread = nullptr;
  };
  std::array<Seat, kMostBooks> seats{};
  LetGo let_go;
  // Told when this thread asks for the GIL: of the self-test's own.
  sem_t* tell_asked = nullptr;
  // What the calibrating thread itself signals, by call.
  bool calibrating = false;
  int signalled = 0;
  pthread_cond_t* last_signalled = nullptr;
};

inline constexpr std::size_t kMostThreads = 32'768;  // at a time
extern PerThread<HookThread> hook_threads;

inline Nanos now_nanos() noexcept { return SystemClock().now(); }

// What the book in `books[index]` knows of the calling thread, which is `me`: null if it found no
// room, and is one of the crowd.
TracedThread& thread_in(TraceBook& book, std::size_t index, HookThread* me, Nanos now) noexcept;

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
