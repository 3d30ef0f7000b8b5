// The hooks themselves: what they do at each signal and wait, and what they share.
//
// Thread safety: see gil_hooks.hpp. A HookThread is its thread's own.
#pragma once

#include <Python.h>
#include <pthread.h>
#include <semaphore.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "cpython/gil_hooks.hpp"
#include "cpython/gil_layout.h"
#include "cpython/let_go.hpp"
#include "gilknocker/held_account.hpp"
#include "gilknocker/hook_clock.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/per_thread.hpp"
#include "gilknocker/trace_book.hpp"
#include "gilknocker/trace_clock.hpp"

namespace gilknocker::gil_hooks {

extern std::array<std::atomic<TraceBook*>, kMostBooks> books;
// One past the last of them; 0: there is none. Written with the GIL held, read by the hooks.
// Relaxed: what is behind a book comes with its pointer, and whoever takes or drops the GIL has
// gone through its lock since; who only asks for it may see a book a moment late, as it may the
// pointer.
extern std::atomic<std::size_t> books_end;
extern std::atomic<pthread_cond_t*> taken;
extern std::atomic<pthread_cond_t*> dropped;

// The account of hook_counting.hpp where to count is all there is to do, and by the CPU's counter;
// else null. Both as `account`: written with the GIL held, relaxed.
extern std::atomic<HeldAccount*> quick_account;
// The only book, where to trace for it is all there is to do, and by the CPU's counter; else null.
// Written and read as the account.
extern std::atomic<TraceBook*> quick_book;
// Where CPython keeps the thread state that holds the GIL, and whether that was asked to let go
// (null where each thread state has its own). The same for ever once they are written.
extern void* const* last_holder;
extern const int* drop_request;

// After the account, the clock or the books have changed. REQUIRES: the GIL held.
void choose_quick() noexcept;

// As CPythonGil::holder() has it, so that looks, stacks and counts agree on who is who; from 1.
inline std::uint64_t serial_of(const PyThreadState* state) noexcept { return state->id + 1; }

// Of one thread.
struct HookThread {
  struct Place {
    std::uint64_t book = 0;  // its id
    TracedThread* thread = nullptr;
  };
  std::array<Place, kMostBooks> places{};
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

// All times of all books are of this one.
extern TraceClock trace_clock;

// Of a thread that the book in the place meets for the first time.
TracedThread& meet(TraceBook& book, HookThread::Place& place, HookThread& me, Nanos now) noexcept;

// What the book in `books[index]` knows of the calling thread, which is `me`: null if it found no
// room, and is one of the crowd.
inline TracedThread& thread_in(TraceBook& book, std::size_t index, HookThread* me,
                               Nanos now) noexcept {
  if (me == nullptr) return book.crowd();
  HookThread::Place& place = me->places[index];
  return place.book == book.id() ? *place.thread : meet(book, place, *me, now);
}

template <typename Event>
inline void tell_books(Event event) noexcept {
  const std::size_t end = books_end.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < end; ++i) {
    TraceBook* const book = books[i].load(std::memory_order_acquire);
    if (book != nullptr) event(*book, i);
  }
}

// Of quick_account: false, and nothing has happened, if it takes longer to find out who it is, as
// of any thread in a sub-interpreter: the account knows those by numbers.
inline bool count_take_at_once(HeldAccount& of) noexcept {
  const Cycles now = HookClock::counter();
  const auto* const state =
      static_cast<const PyThreadState*>(__atomic_load_n(last_holder, __ATOMIC_RELAXED));
  AccountHolder* const holder = of.find_at_once(serial_of(state), state->interp);
  if (holder == nullptr) return false;
  of.take(*holder, now);
  return true;
}

// Whether another thread has asked the holder, who calls, to let go. REQUIRES: a call from within
// the taking or dropping of the GIL, where its holder is alive.
inline bool drop_requested() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
  const auto* const state =
      static_cast<const PyThreadState*>(__atomic_load_n(last_holder, __ATOMIC_RELAXED));
  return (__atomic_load_n(&state->eval_breaker, __ATOMIC_RELAXED) & gilknocker_drop_request_bit) !=
         0;
#else
  return __atomic_load_n(drop_request, __ATOMIC_RELAXED) != 0;
#endif
}

// Another one of each thread that lives: read in one instruction, where a thread's record takes a
// call.
inline const void* own_pointer() noexcept {
#if defined(__x86_64__)
  const void* pointer;
  __asm__("mov %%fs:0, %0" : "=r"(pointer));
  return pointer;
#elif defined(__aarch64__)
  const void* pointer;
  __asm__("mrs %0, tpidr_el0" : "=r"(pointer));
  return pointer;
#else
  return reinterpret_cast<const void*>(pthread_self());
#endif
}

// Who has taken the GIL last, as quick_book knows it: mostly the one that takes it next. Nobody
// while there is no such book, and where it was made to let go since. With the lock and the GIL;
// reset with the GIL, for no hook is in a take or drop then.
struct LastTaker {
  const void* pointer = nullptr;  // its own, which a thread that is started after its end may have
  EndMark end;
  TraceBook* book = nullptr;
  TracedThread* traced = nullptr;
};
extern LastTaker last_taker;

// Of quick_book: false, and nothing has happened, if there is more to do.
inline bool trace_take_at_once() noexcept {
  const LastTaker& taker = last_taker;
  TracedThread* const traced = taker.traced;
  Nanos now = 0;
  if (taker.pointer != own_pointer() ||
      taker.end.count->load(std::memory_order_relaxed) != taker.end.before || traced->waits() ||
      !trace_clock.next_at_once(HookClock(), &now)) {
    return false;
  }
  taker.book->acquired_at_once(*traced, now);
  return true;
}

// The same. Who drops it is who took it, and the book knows who that is. Inlined by force: called
// it would make the hook save registers, and take a tenth longer.
[[gnu::always_inline]] inline bool trace_drop_at_once() noexcept {
  TraceBook* const of = quick_book.load(std::memory_order_relaxed);
  if (of == nullptr) return false;
  TracedThread* const holder = of->holder();
  Nanos now = 0;
  if (holder == nullptr || !holder->is_apart() || drop_requested() ||
      !trace_clock.next_at_once(HookClock(), &now)) {
    return false;
  }
  of->released_at_once(*holder, now);
  return true;
}

int signal_hook(pthread_cond_t* cond) noexcept;
// The two waits are not noexcept, for they may be cancelled: a forced unwind goes through them.
int timedwait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex, const timespec* until);
int wait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex);

}  // namespace gilknocker::gil_hooks
