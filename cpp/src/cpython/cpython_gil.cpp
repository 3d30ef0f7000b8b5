#include "cpython/cpython_gil.hpp"

#include <Python.h>

#include <atomic>
#include <cstring>
#include <new>

#include "gilknocker/process.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker {
namespace {

// Written in a forked child before any other thread exists there; read by any thread, relaxed
// because fork() itself orders the write before all that follows.
std::atomic<long> generation{0};

CPythonGil* the_instance = nullptr;  // guarded by the GIL (or by the import of the module)

// With the GIL held the word must say "locked, by us"; let go of, it must say otherwise at least
// once. Other threads may take it in between, so each half is tried a few times.
const char* prove_transitions(const gilknocker_gil& layout) {
  constexpr int kTries = 20;
  void* const me = PyThreadState_Get();
  bool seen_free = false;
  for (int i = 0; i < kTries && !seen_free; ++i) {
    PyThreadState* const state = PyEval_SaveThread();
    const bool locked = gilknocker_is_locked(&layout) != 0;
    const bool still_ours = locked && gilknocker_last_holder(&layout) == me;
    seen_free = !locked;
    PyEval_RestoreThread(state);
    if (still_ours) return "the GIL that we gave back reads as ours";
    if (gilknocker_is_locked(&layout) == 0 || gilknocker_last_holder(&layout) != me) {
      return "the GIL that we took again does not read as ours";
    }
  }
  return seen_free ? nullptr : "the GIL never read as free";
}

class CPythonSeat final : public GilSeat {
 public:
  CPythonSeat(PyThreadState* state, OwnHolders& own_holders) noexcept
      : state_(state), own_holders_(own_holders) {}

  void acquire() override { PyEval_RestoreThread(state_); }

  std::optional<bool> acquire_and_tell() override {
    const std::optional<this_thread::Usage> before = this_thread::usage();
    PyEval_RestoreThread(state_);
    const std::optional<this_thread::Usage> after = this_thread::usage();
    if (!before || !after) return std::nullopt;
    return after->voluntary_switches > before->voluntary_switches;
  }

  void release() override { PyEval_SaveThread(); }

  void leave() override {
    PyThreadState_Clear(state_);
    own_holders_.remove(state_);
    PyThreadState_DeleteCurrent();
  }

  void clear() override { PyThreadState_Clear(state_); }

  // On the owner's thread, because CPython 3.12+ forgets the calling thread's own state with it.
  void dispose() override {
    own_holders_.remove(state_);
    PyThreadState_Delete(state_);
  }

 private:
  PyThreadState* const state_;
  OwnHolders& own_holders_;
};

}  // namespace

long fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

const char* CPythonGil::probe(gilknocker_gil* layout, std::ptrdiff_t shift) {
  const char* problem = gilknocker_find_gil(layout, shift);
  if (problem != nullptr || gilknocker_is_enabled(layout) == 0) return problem;
  return prove_transitions(*layout);
}

CPythonGil::CPythonGil() : interpreter_(PyInterpreterState_Get()) {
  problem_ = probe(&layout_, 0);
  process::at_fork_in_child(&CPythonGil::forget_parent);
}

CPythonGil& CPythonGil::instance() {
  if (the_instance == nullptr) the_instance = new CPythonGil;
  return *the_instance;
}

void CPythonGil::forget_parent() noexcept {
  generation.fetch_add(1, std::memory_order_relaxed);
  if (the_instance != nullptr) the_instance->own_holders_.clear();
}

Look CPythonGil::look() const noexcept {
  if (gilknocker_is_enabled(&layout_) == 0) return Look::kDisabled;
  if (gilknocker_is_locked(&layout_) == 0) return Look::kFree;
  return own_holders_.contains(gilknocker_last_holder(&layout_)) ? Look::kOwn : Look::kHeld;
}

std::optional<HolderId> CPythonGil::holder() const noexcept {
  const void* const state = gilknocker_last_holder(&layout_);
  gilknocker_thread thread{};
  if (state == nullptr || gilknocker_identify(state, &thread) != 0) return std::nullopt;
  // Still the same, and so it was there while we read.
  if (gilknocker_is_locked(&layout_) == 0 || gilknocker_last_holder(&layout_) != state) {
    return std::nullopt;
  }
  // From 1: all zero is nobody.
  return HolderId{thread.id + 1, thread.ident, static_cast<std::int64_t>(thread.native_id)};
}

// threading._active[ident]._name, without running any Python code. Whatever is missing is no error:
// the program may have no threading, or a thread that it does not know.
ThreadName CPythonGil::name_of(const HolderId& id) const {
  ThreadName name{};
  PyObject* const key = PyUnicode_InternFromString("threading");
  PyObject* const threading = key == nullptr ? nullptr : PyImport_GetModule(key);
  Py_XDECREF(key);
  PyObject* const active =
      threading == nullptr ? nullptr : PyObject_GetAttrString(threading, "_active");
  Py_XDECREF(threading);
  PyObject* const ident = PyLong_FromUnsignedLongLong(id.ident);
  PyObject* thread = nullptr;  // borrowed from `active`, which nobody can change: we have the GIL
  if (active != nullptr && PyDict_CheckExact(active) && ident != nullptr) {
    thread = PyDict_GetItemWithError(active, ident);
  }
  PyObject* const attribute = thread == nullptr ? nullptr : PyUnicode_InternFromString("_name");
  PyObject* const text =
      attribute == nullptr ? nullptr : PyObject_GenericGetAttr(thread, attribute);
  if (text != nullptr && PyUnicode_Check(text)) {
    const char* const utf8 = PyUnicode_AsUTF8(text);
    if (utf8 != nullptr) std::strncpy(name.data(), utf8, name.size() - 1);
  }
  Py_XDECREF(text);
  Py_XDECREF(attribute);
  Py_XDECREF(ident);
  Py_XDECREF(active);
  PyErr_Clear();
  return name;
}

std::unique_ptr<GilSeat> CPythonGil::open_seat() {
  PyThreadState* const state = PyThreadState_New(static_cast<PyInterpreterState*>(interpreter_));
  if (state == nullptr) return nullptr;
  try {
    own_holders_.add(state);
    return std::make_unique<CPythonSeat>(state, own_holders_);
  } catch (const std::bad_alloc&) {
    // The state stays with the interpreter: to clear it would take the GIL. We look, but knock not.
    own_holders_.remove(state);
    return nullptr;
  }
}

}  // namespace gilknocker
