#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/cpython_gil.hpp"
#include "cpython/hook_counting.hpp"
#include "cpython/hook_functions.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker::gil_hooks {

constinit std::array<std::atomic<TraceBook*>, kMostBooks> books{};
constinit std::atomic<std::size_t> books_end{0};
constinit std::atomic<pthread_cond_t*> taken{nullptr};
constinit std::atomic<pthread_cond_t*> dropped{nullptr};
constinit std::atomic<HeldAccount*> quick_account{nullptr};
constinit std::atomic<TraceBook*> quick_book{nullptr};
void* const* last_holder = nullptr;
const int* drop_request = nullptr;

constinit TraceClock trace_clock;
constinit LastTaker last_taker;
PerThread<HookThread> hook_threads;

void choose_quick() noexcept {
  last_holder = CPythonGil::instance().last_holder();
  drop_request = CPythonGil::instance().drop_request();
  HeldAccount* const counts = account.load(std::memory_order_relaxed);
  std::size_t traces = 0;
  TraceBook* book = nullptr;
  for (const std::atomic<TraceBook*>& one : books) {
    TraceBook* const there = one.load(std::memory_order_relaxed);
    if (there == nullptr) continue;
    ++traces;
    book = there;
  }
  const bool quick = HookClock::has_counter();
  quick_account.store(quick && traces == 0 ? counts : nullptr, std::memory_order_relaxed);
  quick_book.store(quick && traces == 1 && counts == nullptr ? book : nullptr,
                   std::memory_order_relaxed);
  last_taker = {};
}

[[gnu::noinline]] TracedThread& meet(TraceBook& book, HookThread::Place& place, HookThread& me,
                                     Nanos now) noexcept {
  const auto* const ends = PerThread<HookThread>::ends_of(&me);
  // Its own thread's end: nobody counts it up meanwhile.
  const EndMark end{ends, ends->load(std::memory_order_relaxed)};
  place = {book.id(), &book.enter(syscall(SYS_gettid), this_thread::is_ours(), now, end)};
  return *place.thread;
}

namespace {

void trace_take() noexcept {
  HookThread* const me = hook_threads.mine();
  const Nanos now = trace_clock.next(HookClock());
  const bool wanted = me != nullptr && me->let_go.end(now);
  tell_books([me, now, wanted](TraceBook& book, std::size_t i) {
    book.acquired(thread_in(book, i, me, now), now, wanted);
  });
  if (TraceBook* const quick = quick_book.load(std::memory_order_relaxed);
      quick != nullptr && me != nullptr) {
    const auto* const ends = PerThread<HookThread>::ends_of(me);
    const EndMark end{ends, ends->load(std::memory_order_relaxed)};
    last_taker = {own_pointer(), end, quick, quick->holder()};
  }
}

// Who drops it is who took it, and the book knows who that is, unless it came in between.
void trace_drop() noexcept {
  const Nanos now = trace_clock.next(HookClock());
  const bool forced = drop_requested();
  tell_books([now, forced](TraceBook& book, std::size_t i) {
    TracedThread* const holder = book.holder();
    book.released(holder != nullptr ? *holder : thread_in(book, i, hook_threads.mine(), now), now,
                  forced);
  });
  if (!forced) return;
  last_taker = {};
  if (HookThread* const me = hook_threads.mine()) me->let_go.begin(now);
}

// What is not quick. Never inlined into the hook, and called last in it: what only counts shall not
// save registers for them.

[[gnu::noinline]] int take_and_signal(pthread_cond_t* cond) noexcept {
  if (HeldAccount* const of = account.load(std::memory_order_relaxed)) count_take(*of);
  if (books_end.load(std::memory_order_relaxed) != 0) trace_take();
  return pthread_cond_signal(cond);
}

[[gnu::noinline]] int drop_and_signal(pthread_cond_t* cond) noexcept {
  if (HeldAccount* const of = account.load(std::memory_order_relaxed)) count_drop(*of);
  if (books_end.load(std::memory_order_relaxed) != 0) trace_drop();
  return pthread_cond_signal(cond);
}

[[gnu::noinline]] int signal_other(pthread_cond_t* cond) noexcept {
  if (HookThread* const me = hook_threads.known(); me != nullptr && me->calibrating) {
    ++me->signalled;
    me->last_signalled = cond;
  }
  return pthread_cond_signal(cond);
}

}  // namespace

// ---- the hooks ---------------------------------------------------------------------------------

// Errors of pthread_cond_* are returned, and the clock comes from the vDSO: only gettid() and the
// program's own code could touch errno, and gettid() never fails. They are called by name, and
// their addresses are taken nowhere in this library: see real_function.hpp.
int signal_hook(pthread_cond_t* cond) noexcept {
  HeldAccount* const quick = quick_account.load(std::memory_order_relaxed);
  if (cond == taken.load(std::memory_order_relaxed)) {
    const bool done = quick != nullptr ? count_take_at_once(*quick) : trace_take_at_once();
    if (!done) return take_and_signal(cond);
  } else if (cond == dropped.load(std::memory_order_relaxed)) {
    if (quick != nullptr) {
      quick->drop(HookClock::counter());
    } else if (!trace_drop_at_once()) {
      return drop_and_signal(cond);
    }
  } else {
    return signal_other(cond);
  }
  return pthread_cond_signal(cond);
}

int timedwait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex, const timespec* until) {
  if (cond == dropped.load(std::memory_order_relaxed)) {
    HookThread* const me = hook_threads.mine();
    const Nanos now = trace_clock.beside(HookClock());
    const bool wanted = me != nullptr && me->let_go.end(now);
    tell_books([me, now, wanted](TraceBook& book, std::size_t i) {
      book.asked(thread_in(book, i, me, now), now, wanted);
    });
    if (me != nullptr && me->tell_asked != nullptr) sem_post(me->tell_asked);
  }
  return pthread_cond_timedwait(cond, mutex, until);
}

int wait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex) {
  const int result = pthread_cond_wait(cond, mutex);
  if (cond == taken.load(std::memory_order_relaxed)) {
    // By the system's clock: without the lock the trace's may be changed meanwhile. They differ by
    // less than matters here.
    if (HookThread* const me = hook_threads.known()) me->let_go.came_back(HookClock::nanos());
  }
  return result;
}

}  // namespace gilknocker::gil_hooks

#endif
