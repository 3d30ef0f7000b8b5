#include "cpython/cpython_gil.hpp"

#include <Python.h>

#include <atomic>
#include <cstring>
#include <new>

#include "cpython/hook_counting.hpp"
#include "cpython/thread_state.h"
#include "gilknocker/process.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker {
namespace {

// Written in a forked child before any other thread exists there; read by any thread, relaxed
// because fork() itself orders the write before all that follows.
std::atomic<long> generation{0};

// With the GIL held the word must say "locked, by us"; let go of, it must say otherwise at least
// once. Other threads may take it in between, so each half is tried a few times. Who takes it says
// "locked" first and then by whom: a look in between sees it as ours, which happens once in a
// million.
const char* prove_transitions(const gilknocker_gil& layout) {
  constexpr int kTries = 20;
  void* const me = PyThreadState_Get();
  bool seen_free = false;
  int seen_ours = 0;
  for (int i = 0; i < kTries && !seen_free; ++i) {
    PyThreadState* const state = PyEval_SaveThread();
    const bool locked = gilknocker_is_locked(&layout) != 0;
    seen_ours += locked && gilknocker_last_holder(&layout) == me;
    seen_free = !locked;
    PyEval_RestoreThread(state);
    if (seen_ours > 1) return "the GIL that we gave back reads as ours";
    if (gilknocker_is_locked(&layout) == 0 || gilknocker_last_holder(&layout) != me) {
      return "the GIL that we took again does not read as ours";
    }
  }
  return seen_free ? nullptr : "the GIL never read as free";
}

// dictionary[key], borrowed; null if it is not there.
PyObject* item(PyObject* dictionary, const char* key) {
  if (dictionary == nullptr || !PyDict_CheckExact(dictionary)) return nullptr;
  PyObject* const name = PyUnicode_InternFromString(key);
  PyObject* const found = name == nullptr ? nullptr : PyDict_GetItemWithError(dictionary, name);
  Py_XDECREF(name);
  return found;
}

// What an object itself has, not what its class would do to find it; a new reference or null.
PyObject* attribute(PyObject* object, const char* key) {
  PyObject* const name = PyUnicode_InternFromString(key);
  PyObject* const found = name == nullptr ? nullptr : PyObject_GenericGetAttr(object, name);
  Py_XDECREF(name);
  return found;
}

// Whether an object of threading.Thread is that thread: the next one may have the same ident.
// (After a fork, Python before 3.13.1 goes on to give the main one its parent's number.)
bool has_number(PyObject* thread, std::int64_t native_id) {
  if (native_id == 0) return true;  // a Python that keeps none
  PyObject* const number = attribute(thread, "_native_id");
  const bool same = number != nullptr && PyLong_Check(number) &&
                    PyLong_AsLongLong(number) == static_cast<long long>(native_id);
  Py_XDECREF(number);
  return same;
}

StateCopy copy_of(const void* state) noexcept {
  StateCopy copy;
  const bool read = gilknocker_safe_read(copy.bytes.data(), state, gilknocker_state_size) == 0;
  if (read) copy.size = gilknocker_state_size;
  return copy;
}

// The thread state is made and deleted under the GIL, by a starter and a stopper, and its thread
// moves in and may leave; but see GILKNOCKER_OWNER_MAKES_STATE.
class CPythonThreadState final : public OwnThreadState {
 public:
  CPythonThreadState(void* interpreter, OwnHolders& own_holders, ForkGate& gate) noexcept
      : interpreter_(static_cast<PyInterpreterState*>(interpreter)),
        own_holders_(own_holders),
        gate_(gate) {}

#if GILKNOCKER_OWNER_MAKES_STATE
  bool open() { return true; }

  bool occupy() override {
    state_ = PyThreadState_New(interpreter_);
    if (state_ == nullptr) return false;
    gilknocker_hide_frames(state_);
    if (is_known_as_ours()) return true;
    get_ready();
    acquire();
    leave();
    return false;
  }

  void close() override {}  // nobody moved in, or Gil::closes_for_others()
#else
  // False without memory. REQUIRES: the GIL held.
  bool open() {
    state_ = gilknocker_new_state(interpreter_);
    if (state_ == nullptr) return false;
    if (is_known_as_ours()) return true;
    gilknocker_delete_state(state_);
    return false;
  }

  bool occupy() override {
    gilknocker_move_in(state_);
    return true;
  }

  // An interpreter that ends frees the states of all threads but one, also those of knockers that
  // nobody stopped before: what is left of this one is not to be touched then.
  void close() override {
    own_holders_.remove(state_);
    if (!interpreter_ends()) gilknocker_delete_state(state_);
  }
#endif

  void get_ready() override { gate_.enter(); }

  void acquire() override {
    ExitIfUnwound exit{&gate_};
    PyEval_RestoreThread(state_);
    exit.gate = nullptr;
  }

  std::optional<bool> acquire_and_tell() override {
    const std::optional<this_thread::Usage> before = this_thread::usage();
    acquire();
    const std::optional<this_thread::Usage> after = this_thread::usage();
    if (!before || !after) return std::nullopt;
    return after->voluntary_switches > before->voluntary_switches;
  }

  void release() override {
    PyEval_SaveThread();
    gate_.exit();
  }

  void leave() override {
    while (gate_.is_closed()) {  // who forks waits for us no longer: not now
      release();
      get_ready();
      acquire();
    }
    PyThreadState_Clear(state_);
    own_holders_.remove(state_);
    PyThreadState_DeleteCurrent();
    gate_.exit();
  }

 private:
  // When an interpreter that ends ends the thread.
  struct ExitIfUnwound {
    ForkGate* gate;
    ~ExitIfUnwound() {
      if (gate != nullptr) gate->exit();
    }
  };

  bool is_known_as_ours() noexcept {
    try {
      own_holders_.add(state_);
    } catch (const std::bad_alloc&) {
      return false;
    }
    return true;
  }

  PyInterpreterState* const interpreter_;
  OwnHolders& own_holders_;
  ForkGate& gate_;
  PyThreadState* state_ = nullptr;
};

}  // namespace

bool interpreter_ends() noexcept {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing() != 0;
#else
  return _Py_IsFinalizing() != 0;
#endif
}

long fork_generation() noexcept { return generation.load(std::memory_order_relaxed); }

const char* CPythonGil::probe(gilknocker_gil* layout, std::ptrdiff_t shift) {
  if (gilknocker_state_size > StateCopy::kMost)
    return "whose a thread state is stands too far in it";
  const char* problem = gilknocker_find_gil(layout, shift);
  if (problem != nullptr || gilknocker_is_enabled(layout) == 0) return problem;
  return prove_transitions(*layout);
}

CPythonGil::CPythonGil() : interpreter_(PyInterpreterState_Get()) { problem_ = probe(&layout_, 0); }

CPythonGil* CPythonGil::make() {
  // A forced unwind at the interpreter's end goes through here: nothing may catch it.
  if (the_instance_ == nullptr) {
    the_instance_ = new (std::nothrow) CPythonGil;
    if (the_instance_ != nullptr) {
      process::at_fork(&before_fork, &after_fork_in_parent, &forget_parent);
    }
  }
  return the_instance_;
}

bool CPythonGil::closes_for_others() const noexcept { return !GILKNOCKER_OWNER_MAKES_STATE; }

// A knock that has the GIL is done in a moment. One that waits for it may wait for long, and for
// the thread that forks if that has it; what it leaves behind in the child is mended there.
void CPythonGil::before_fork() noexcept {
  constexpr Nanos kPatience = 20'000'000;
  CPythonGil& gil = instance();
  gil.gate_.close(gil.can_look() && gilknocker_is_mine(&gil.layout_) ? 0 : kPatience);
}

void CPythonGil::after_fork_in_parent() noexcept { instance().gate_.reopen(); }

void CPythonGil::forget_parent() noexcept {
  CPythonGil& gil = instance();
  generation.fetch_add(1, std::memory_order_relaxed);
  // Where nobody knocked the child has what it would have without us.
  if (gil.can_look() && !gil.own_holders_.empty()) gilknocker_forget_other_threads(&gil.layout_);
  gil.own_holders_.clear();
  gil.gate_.reopen_in_child();
}

void CPythonGil::begin_own() { own_holders_.add(PyThreadState_Get()); }
void CPythonGil::end_own() noexcept { own_holders_.remove(PyThreadState_Get()); }

HeldSource* CPythonGil::held_source() noexcept { return gil_hooks::held_source(); }

Look CPythonGil::look() const noexcept {
  if (gilknocker_is_enabled(&layout_) == 0) return Look::kDisabled;
  if (gilknocker_is_locked(&layout_) == 0) return Look::kFree;
  return own_holders_.contains(gilknocker_last_holder(&layout_)) ? Look::kOwn : Look::kHeld;
}

std::optional<HolderId> CPythonGil::holder() const noexcept {
  const void* const state = gilknocker_last_holder(&layout_);
  if (state == nullptr) return std::nullopt;
  const StateCopy copy = copy_of(state);
  // Still the same, and so it was there while we read.
  if (gilknocker_is_locked(&layout_) == 0 || gilknocker_last_holder(&layout_) != state) {
    return std::nullopt;
  }
  return identify(copy);
}

std::size_t CPythonGil::state_size() const noexcept { return gilknocker_state_size; }

StateCopy CPythonGil::copy_state(const HolderMark& mark) const noexcept {
  return copy_of(reinterpret_cast<const void*>(static_cast<std::uintptr_t>(mark.state)));
}

std::optional<HolderId> CPythonGil::identify(const StateCopy& copy) const noexcept {
  if (copy.size < gilknocker_state_size) return std::nullopt;
  gilknocker_thread thread{};
  gilknocker_identify(copy.bytes.data(), &thread);
  // From 1: all zero is nobody.
  return HolderId{thread.id + 1, thread.ident, static_cast<std::int64_t>(thread.native_id)};
}

std::optional<HolderMark> CPythonGil::mark() const noexcept {
  HolderMark mark;
  mark.turn = gilknocker_switch_number(&layout_);
  mark.state = reinterpret_cast<std::uintptr_t>(gilknocker_last_holder(&layout_));
  if (gilknocker_is_locked(&layout_) == 0) return std::nullopt;
  return mark;
}

bool CPythonGil::asked_to_let_go(const HolderMark& mark) const noexcept {
  return asked_to_let_go(layout_.drop_request == nullptr ? copy_state(mark) : StateCopy{});
}

bool CPythonGil::asked_to_let_go(const StateCopy& copy) const noexcept {
  if (layout_.drop_request == nullptr && copy.size < gilknocker_state_size) return false;
  return gilknocker_drop_requested(&layout_, copy.bytes.data()) != 0;
}

std::optional<MemoryRange> CPythonGil::waiting_place() const noexcept {
  MemoryRange place;
  if (gilknocker_waiting_place(&layout_, &place.begin, &place.end) != 0) return std::nullopt;
  return place;
}

// threading._active[ident]._name, without running any Python code or waiting for a lock. Whatever
// is missing is no error: the program may have no threading, or a thread that it does not know.
ThreadName CPythonGil::name_of(const HolderId& id) const {
  ThreadName name{};
  if (gate_.is_closed()) return name;  // who forks waits for us no longer: touch nothing
  // Borrowed, like all that comes out of a dictionary here: nobody can change it, we have the GIL.
  PyObject* const threading = item(PyImport_GetModuleDict(), "threading");
  if (threading == nullptr || !PyModule_Check(threading)) return name;
  PyObject* const active = item(PyModule_GetDict(threading), "_active");
  if (active == nullptr || !PyDict_CheckExact(active)) return name;
  PyObject* const ident = PyLong_FromUnsignedLongLong(id.ident);
  PyObject* const thread = ident == nullptr ? nullptr : PyDict_GetItemWithError(active, ident);
  Py_XDECREF(ident);
  const bool is_main = thread == item(PyModule_GetDict(threading), "_main_thread");
  if (thread != nullptr && (is_main || has_number(thread, id.native_id))) {
    PyObject* const text = attribute(thread, "_name");
    const char* const utf8 =
        text != nullptr && PyUnicode_Check(text) ? PyUnicode_AsUTF8(text) : nullptr;
    if (utf8 != nullptr) std::strncpy(name.data(), utf8, name.size() - 1);
    Py_XDECREF(text);
  }
  PyErr_Clear();
  return name;
}

std::unique_ptr<OwnThreadState> CPythonGil::open_state() {
  std::unique_ptr<CPythonThreadState> own_state(
      new (std::nothrow) CPythonThreadState(interpreter_, own_holders_, gate_));
  if (!own_state || !own_state->open()) return nullptr;
  return own_state;
}

}  // namespace gilknocker
