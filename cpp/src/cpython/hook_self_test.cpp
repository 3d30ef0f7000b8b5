#include "cpython/hook_self_test.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <memory>
#include <new>
#include <vector>

#include "cpython/cpython_gil.hpp"
#include "cpython/gil_hooks.hpp"
#include "cpython/hook_functions.hpp"
#include "cpython/hook_installation.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/this_thread.hpp"
#include "gilknocker/thread.hpp"

namespace gilknocker::gil_hooks {
namespace {

// A thread of ours that asks for the GIL while the caller has it, and gets it when the caller lets
// go: what the book then says must lie within what both saw on their own clocks.
//
// On the heap, and left there if an interpreter that ends ends the calling thread meanwhile: the
// other thread and the hooks go on with it.
class HandOver {
 public:
  HandOver() : book_(kEvents, trace_now()) {
    for (sem_t* const step : {&ready_, &go_, &asked_}) sem_init(step, 0, 0);
  }
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;
  ~HandOver() {
    for (sem_t* const step : {&ready_, &go_, &asked_}) sem_destroy(step);
  }

  const char* try_out() {
    attach(book_, {});
    const char* const problem = hand_over();
    detach(book_);
    settle();
    if (problem != nullptr) return problem;
    return agrees_ ? nullptr : "a traced hand-over of the GIL was not what happened";
  }

 private:
  static constexpr int kMostSeconds = 5;
  static constexpr std::size_t kEvents = 16;  // only the newest is wanted
  static constexpr Nanos kApart = 10'000;     // more than the two clocks ever are

  const char* hand_over() {
    own_state_ = CPythonGil::instance().open_state();
    if (!own_state_) return "there was not enough memory to try it out";
    Thread thread;
    try {
      thread.start(&HandOver::take, this);
    } catch (const std::exception&) {
      own_state_->close();
      return "no thread could be started to try the tracing out";
    }
    // Without the GIL: on a free-threaded build a new thread state may stop the world.
    PyThreadState* state = PyEval_SaveThread();
    wait_for(ready_);
    PyEval_RestoreThread(state);
    sem_post(&go_);
    // With the GIL in hand, for it is to find it taken.
    const bool seen = has_state_ && wait_for(asked_);
    told_ = trace_now();
    state = PyEval_SaveThread();
    thread.join();  // and until it has left: the program may fork next
    PyEval_RestoreThread(state);
    return seen ? nullptr : "a thread that waits for the GIL was not seen";
  }

  // False if it takes far too long.
  static bool wait_for(sem_t& step) {
    timespec until{};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += kMostSeconds;
    int waited = 0;
    do waited = sem_timedwait(&step, &until);
    while (waited != 0 && errno == EINTR);
    return waited == 0;
  }

  static void* take(void* argument) {
    HandOver& mine = *static_cast<HandOver*>(argument);
    this_thread::mark_ours();
    mine.has_state_ = mine.own_state_->occupy();
    sem_post(&mine.ready_);
    if (!mine.has_state_) return nullptr;
    wait_for(mine.go_);
    if (HookThread* const me = hook_threads.mine()) me->tell_asked = &mine.asked_;
    mine.own_state_->get_ready();
    const Nanos asks = SystemClock().now() - kApart;  // without the GIL, and so not the trace's
    mine.own_state_->acquire();
    const Nanos has = trace_now();
    mine.agrees_ = mine.agrees(asks, has);
    mine.own_state_->leave();
    return nullptr;
  }

  // REQUIRES: the thread that waited holds the GIL, so that nothing has ended since its wait.
  bool agrees(Nanos asks, Nanos has) {
    const std::vector<TraceEvent> events = book_.events();
    if (events.empty()) return false;
    const TraceEvent& last = events.back();
    return last.kind == TraceEvent::kWait && book_.native_id(last.thread) == syscall(SYS_gettid) &&
           asks <= last.start && last.start <= told_ && told_ <= last.end && last.end <= has;
  }

  TraceBook book_;
  std::unique_ptr<OwnThreadState> own_state_;  // the thread's, once that runs
  sem_t ready_;                                // by the thread, with has_state_
  sem_t go_;                                   // to the thread
  sem_t asked_;                                // by its hook
  bool has_state_ = false;
  bool agrees_ = false;  // by the thread, joined before this is read
  Nanos told_ = 0;       // by the caller, before it lets go of the GIL
};

}  // namespace

const char* try_signals() {
  if (const char* const problem = CPythonGil::instance().problem()) return problem;
  if (!CPythonGil::instance().enabled()) return "this Python runs without a GIL";
  if (taken.load(std::memory_order_relaxed) != nullptr) return nullptr;
  try {
    if (const char* const problem = hook_threads.prepare(kMostThreads)) return problem;
  } catch (const std::bad_alloc&) {  // here, and not around what lets go of the GIL
    return "there is not enough memory to try it out";
  }
  settle();  // whoever calls a hook from now on sees the records
  if (const char* const problem = hold(Calls::kSignal)) return problem;
  const char* const problem = calibrate();
  release(Calls::kSignal);
  return problem;
}

const char* try_out() {
  if (const char* const problem = try_signals()) return problem;
  auto* const hand_over = new HandOver;
  const char* const problem = hand_over->try_out();
  delete hand_over;
  return problem;
}

}  // namespace gilknocker::gil_hooks

#endif
