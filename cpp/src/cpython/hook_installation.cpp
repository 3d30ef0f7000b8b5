#include "cpython/hook_installation.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>

#include <vector>

#include "cpython/hook_functions.hpp"

namespace gilknocker::gil_hooks {
namespace {

RelocationPatch patch;  // guarded by the GIL

const std::vector<RelocationPatch::Redirection>& redirections() {
  static const std::vector<RelocationPatch::Redirection> all = {
      {"pthread_cond_signal", reinterpret_cast<void*>(&pthread_cond_signal),
       reinterpret_cast<void*>(&signal_hook)},
      {"pthread_cond_timedwait", reinterpret_cast<void*>(&pthread_cond_timedwait),
       reinterpret_cast<void*>(&timedwait_hook)},
      {"pthread_cond_wait", reinterpret_cast<void*>(&pthread_cond_wait),
       reinterpret_cast<void*>(&wait_hook)},
  };
  return all;
}

}  // namespace

const char* install() {
  return patch.install(reinterpret_cast<const void*>(&PyEval_RestoreThread), redirections());
}

void uninstall() noexcept { patch.remove(); }

// Which condition variable is which shows when this thread drops and takes the GIL once. Others who
// do so meanwhile do not disturb: only this thread counts.
const char* calibrate() {
  signalled = 0;
  calibrating = true;
  PyThreadState* const state = PyEval_SaveThread();
  const int of_dropping = signalled;
  pthread_cond_t* const first = last_signalled;
  PyEval_RestoreThread(state);
  calibrating = false;
  if (of_dropping != 1 || signalled != 2 || first == last_signalled) {
    return "dropping and taking the GIL signals in unknown ways";
  }
  dropped.store(first, std::memory_order_relaxed);
  taken.store(last_signalled, std::memory_order_relaxed);
  return nullptr;
}

std::vector<const void*> slots() { return patch.slots(); }

}  // namespace gilknocker::gil_hooks

#endif
