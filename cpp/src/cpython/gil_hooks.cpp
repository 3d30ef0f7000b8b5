#include "cpython/gil_hooks.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>

#include "cpython/hook_counting.hpp"
#include "cpython/hook_functions.hpp"
#include "cpython/hook_installation.hpp"
#include "cpython/hook_self_test.hpp"

namespace gilknocker::gil_hooks {
namespace {

bool is_alive(std::int64_t native_id) noexcept {
  return syscall(SYS_tgkill, getpid(), native_id, 0) == 0 || errno != ESRCH;
}

// Of what the hooks go by: after `books` has changed, with the GIL held.
void measure_books() noexcept {
  std::size_t end = books.size();
  while (end != 0 && books[end - 1].load(std::memory_order_relaxed) == nullptr) --end;
  books_end.store(end, std::memory_order_relaxed);
  choose_quick();
}

void forget_parent() noexcept {
  for (std::atomic<TraceBook*>& book : books) book.store(nullptr, std::memory_order_relaxed);
  forget_account();
  measure_books();
  release_all();
  trace_clock.forget();
  hook_threads.keep_only_mine();
}

}  // namespace

const char* prepare_counting() {
  // Once, and before any hook is put in: of whoever comes first, who counts or who traces.
  static const bool chosen = (HookClock::choose(HookClock::find()), true);
  static_cast<void>(chosen);
  static const int heard = pthread_atfork(nullptr, nullptr, &forget_parent);
  return heard == 0 ? try_signals() : "there is not enough memory to hear of forks";
}

const char* prepare() {
  if (const char* const problem = prepare_counting()) return problem;
  try {
    return try_out();
  } catch (const std::exception&) {  // not a forced unwind, which is none
    return "there was not enough memory to try it out, or other tracers run";
  }
}

void attach(TraceBook& book, const std::vector<std::int64_t>& present) {
  std::size_t index = 0;
  while (index < books.size() && books[index].load(std::memory_order_relaxed) != nullptr) ++index;
  if (index == books.size()) throw std::runtime_error("at most 4 tracers can run at once");
  if (const char* const problem = hold(Calls::kSignal)) throw std::runtime_error(problem);
  if (const char* const problem = hold(Calls::kWaits)) {
    release(Calls::kSignal);
    throw std::runtime_error(problem);
  }
  const Nanos now = trace_now();
  for (const std::int64_t native_id : present) book.expect(native_id, now);
  book.begin(now);
  book.holds(thread_in(book, index, hook_threads.mine(), now), now);  // the caller
  books[index].store(&book, std::memory_order_release);
  measure_books();
}

void detach(TraceBook& book) {
  for (std::atomic<TraceBook*>& slot : books) {
    // Relaxed: settle() goes through the GIL's lock, and that orders it.
    if (slot.load(std::memory_order_relaxed) == &book) {
      slot.store(nullptr, std::memory_order_relaxed);
      measure_books();
      release(Calls::kSignal);
      release(Calls::kWaits);
    }
  }
  book.end(trace_now(), &is_alive);
}

void settle() {
  PyThreadState* const state = PyEval_SaveThread();
  PyEval_RestoreThread(state);
}

Nanos trace_now() noexcept { return trace_clock.now(HookClock()); }

TraceReading read_book(TraceBook& book) { return book.read(trace_now(), &is_alive); }

ThreadShare share_of_this_thread(TraceBook& book) noexcept {
  for (std::size_t i = 0; i < books.size(); ++i) {
    // Relaxed: attach() and detach() have the GIL, as we do.
    if (books[i].load(std::memory_order_relaxed) != &book) continue;
    const Nanos now = trace_now();
    // It has taken the GIL since the book was attached, or attached it: it is known already.
    return book.share_of(thread_in(book, i, hook_threads.mine(), now), now);
  }
  return {};
}

}  // namespace gilknocker::gil_hooks

#else

#include <stdexcept>

#include "gilknocker/nanos.hpp"

namespace gilknocker::gil_hooks {

// No book is ever attached, and so none knows of a thread.

const char* prepare() { return RelocationPatch().install(nullptr, {}); }
const char* prepare_counting() { return prepare(); }
void attach(TraceBook&, const std::vector<std::int64_t>&) { throw std::runtime_error(prepare()); }
void detach(TraceBook&) {}
void settle() {}
std::vector<const void*> slots() { return {}; }

Nanos trace_now() noexcept { return SystemClock().now(); }

TraceReading read_book(TraceBook& book) {
  return book.read(trace_now(), [](std::int64_t) { return false; });
}

ThreadShare share_of_this_thread(TraceBook&) noexcept { return {}; }

}  // namespace gilknocker::gil_hooks

#endif
