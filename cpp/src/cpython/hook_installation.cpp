#include "cpython/hook_installation.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>

#include <array>
#include <cstddef>
#include <vector>

#include "cpython/hook_functions.hpp"

namespace gilknocker::gil_hooks {
namespace {

// Guarded by the GIL.
struct Redirected {
  RelocationPatch patch;
  int users = 0;
};
std::array<Redirected, 2> redirected;  // by Calls

Redirected& of(Calls calls) noexcept { return redirected[static_cast<std::size_t>(calls)]; }

RelocationPatch::Redirection redirect(const char* symbol, void* hook) {
  return {symbol, real_function(symbol, reinterpret_cast<const void*>(&signal_hook)), hook};
}

// Found once. The object to redirect is the one that takes the GIL, wherever a stub of it lies.
struct Interpreter {
  const RealFunction takes = redirect("PyEval_RestoreThread", nullptr).function;
  const std::vector<RelocationPatch::Redirection> signal = {
      redirect("pthread_cond_signal", reinterpret_cast<void*>(&signal_hook)),
  };
  const std::vector<RelocationPatch::Redirection> waits = {
      redirect("pthread_cond_timedwait", reinterpret_cast<void*>(&timedwait_hook)),
      redirect("pthread_cond_wait", reinterpret_cast<void*>(&wait_hook)),
  };
};

}  // namespace

const char* hold(Calls calls) {
  static const Interpreter interpreter;
  Redirected& one = of(calls);
  if (one.users == 0) {
    const auto& redirections = calls == Calls::kSignal ? interpreter.signal : interpreter.waits;
    if (const char* const problem = one.patch.install(interpreter.takes.code, redirections)) {
      return problem;
    }
  }
  ++one.users;
  return nullptr;
}

void release(Calls calls) noexcept {
  Redirected& one = of(calls);
  if (one.users != 0 && --one.users == 0) one.patch.remove();
}

void release_all() noexcept {
  for (Redirected& one : redirected) {
    if (one.users != 0) one.patch.remove();
    one.users = 0;
  }
}

// Which condition variable is which shows when this thread drops and takes the GIL once. Others who
// do so meanwhile do not disturb: only this thread counts.
const char* calibrate() {
  if (taken.load(std::memory_order_relaxed) != nullptr) return nullptr;
  HookThread* const me = hook_threads.mine();
  if (me == nullptr) return "there are too many threads";
  me->signalled = 0;
  me->calibrating = true;
  PyThreadState* const state = PyEval_SaveThread();
  const int of_dropping = me->signalled;
  pthread_cond_t* const first = me->last_signalled;
  PyEval_RestoreThread(state);
  me->calibrating = false;
  if (of_dropping != 1 || me->signalled != 2 || first == me->last_signalled) {
    return "dropping and taking the GIL signals in unknown ways";
  }
  dropped.store(first, std::memory_order_relaxed);
  taken.store(me->last_signalled, std::memory_order_relaxed);
  return nullptr;
}

std::vector<const void*> slots() {
  std::vector<const void*> all;
  for (const Redirected& one : redirected) {
    for (const void* const slot : one.patch.slots()) all.push_back(slot);
  }
  return all;
}

}  // namespace gilknocker::gil_hooks

#endif
