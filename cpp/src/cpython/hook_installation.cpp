#include "cpython/hook_installation.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>

#include <vector>

#include "cpython/hook_functions.hpp"

namespace gilknocker::gil_hooks {
namespace {

RelocationPatch patch;  // guarded by the GIL

RelocationPatch::Redirection redirect(const char* symbol, void* hook) {
  return {symbol, real_function(symbol, reinterpret_cast<const void*>(&signal_hook)), hook};
}

// Found once. The object to redirect is the one that takes the GIL, wherever a stub of it lies.
struct Interpreter {
  const RealFunction takes = redirect("PyEval_RestoreThread", nullptr).function;
  const std::vector<RelocationPatch::Redirection> calls = {
      redirect("pthread_cond_signal", reinterpret_cast<void*>(&signal_hook)),
      redirect("pthread_cond_timedwait", reinterpret_cast<void*>(&timedwait_hook)),
      redirect("pthread_cond_wait", reinterpret_cast<void*>(&wait_hook)),
  };
};

}  // namespace

const char* install() {
  static const Interpreter interpreter;
  return patch.install(interpreter.takes.code, interpreter.calls);
}

void uninstall() noexcept { patch.remove(); }

// Which condition variable is which shows when this thread drops and takes the GIL once. Others who
// do so meanwhile do not disturb: only this thread counts.
const char* calibrate() {
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

std::vector<const void*> slots() { return patch.slots(); }

}  // namespace gilknocker::gil_hooks

#endif
