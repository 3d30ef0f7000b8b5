#include "cpython/hook_counting.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <new>
#include <unordered_set>

#include "cpython/cpython_gil.hpp"
#include "cpython/gil_hooks.hpp"
#include "cpython/hook_functions.hpp"
#include "cpython/hook_installation.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker::gil_hooks {

constinit std::atomic<HeldAccount*> account{nullptr};

namespace {

// ---- guarded by the GIL ------------------------------------------------------------------------

HeldAccount* the_account = nullptr;  // never freed: readers may be anywhere
int users = 0;

// Written by anybody, relaxed: it is only ever looked at.
constinit std::atomic<bool> distrusted{false};

// ---- the hooks' part ---------------------------------------------------------------------------

// The main one outlives the account. Of the others the address is given out again, and serials
// begin anew, but never the number.
const void* interpreter_of(const PyThreadState* state) noexcept {
  PyInterpreterState* const interpreter = state->interp;
  if (interpreter == PyInterpreterState_Main()) return interpreter;
  return reinterpret_cast<const void*>(
      static_cast<std::intptr_t>(PyInterpreterState_GetID(interpreter)));
}

// Of a state that is met for the first time, or of one of ours: null then.
[[gnu::noinline]] AccountHolder* meet(HeldAccount& of, const PyThreadState* state,
                                      const void* interpreter) noexcept {
  if (this_thread::is_ours() || CPythonGil::instance().is_own(state)) return nullptr;
  HolderId id;
  id.serial = serial_of(state);
  id.ident = state->thread_id;
#if PY_VERSION_HEX >= 0x030B0000
  id.native_id = static_cast<std::int64_t>(state->native_thread_id);
#else
  id.native_id = syscall(SYS_gettid);  // of the caller, which takes it
#endif
  return &of.add(id, interpreter);
}

AccountHolder* holder_of(HeldAccount& of, const PyThreadState* state) noexcept {
  const void* const interpreter = interpreter_of(state);
  AccountHolder* const known = of.find(serial_of(state), interpreter);
  return known != nullptr ? known : meet(of, state, interpreter);
}

// ---- the meters' -------------------------------------------------------------------------------

class ProcessHeld final : public HeldSource {
  // Of a take and a drop, ns: the CPU time of both was 14 to 66 longer where a reading took 10
  // to 16.
  static constexpr Nanos kBesideReading = 20;

 public:
  const char* begin() override;
  void end() noexcept override;

  HeldReading read() const noexcept override {
    const HeldAccount* const of = account.load(std::memory_order_acquire);
    if (of == nullptr) return {};
    HeldReading reading = of->read();
    reading.counts = reading.counts && !distrusted.load(std::memory_order_relaxed);
    return reading;
  }
  std::uint64_t own_takes() const noexcept override {
    const HeldAccount* const of = account.load(std::memory_order_acquire);
    return of == nullptr ? 0 : of->own_takes();
  }
  void tidy() noexcept override;
  void distrust() noexcept override { distrusted.store(true, std::memory_order_relaxed); }
  Nanos cost() const noexcept override { return 2 * HookClock::reading_cost() + kBesideReading; }
};

const char* ProcessHeld::begin() {
  if (const char* const problem = prepare_counting()) return problem;  // lets go of the GIL
  if (users == 0) {
    if (the_account == nullptr) {
      try {
        the_account = new HeldAccount;
      } catch (const std::bad_alloc&) {
        return "there is not enough memory to count";
      }
    }
    if (const char* const problem = hold(Calls::kSignal)) return problem;
    distrusted.store(false, std::memory_order_relaxed);
    account.store(the_account, std::memory_order_release);
    the_account->begin(holder_of(*the_account, PyThreadState_Get()), HookClock::now());
    choose_quick();
  }
  ++users;
  return nullptr;
}

void ProcessHeld::end() noexcept {
  if (users == 0 || --users != 0) return;  // none: a fork behind Python's back
  the_account->end(HookClock::now());
  account.store(nullptr, std::memory_order_relaxed);
  choose_quick();
  release(Calls::kSignal);
}

// REQUIRES: the GIL held. The states of an interpreter are unlinked by who holds it.
std::unordered_set<std::uint64_t> living() {
  std::unordered_set<std::uint64_t> serials;
  const PyThreadState* state = PyInterpreterState_ThreadHead(PyInterpreterState_Get());
  for (; state != nullptr; state = PyThreadState_Next(const_cast<PyThreadState*>(state))) {
    serials.insert(serial_of(state));
  }
  return serials;
}

void ProcessHeld::tidy() noexcept {
  if (users == 0) return;
  const CPythonGil& gil = CPythonGil::instance();
  constexpr int kNames = 16;
  for (int i = 0; i < kNames; ++i) {
    const AccountHolder* const holder = the_account->unnamed();
    if (holder == nullptr) break;
    the_account->name(gil.name_of({holder->serial, holder->ident, holder->native_id}));
  }
  if (!the_account->is_crowded()) return;
  try {
    const std::unordered_set<std::uint64_t> alive = living();
    const void* const interpreter = PyInterpreterState_Main();
    // Nobody may walk those of another interpreter: one that lives is met again.
    the_account->fold([&alive, interpreter](const AccountHolder& one) {
      return one.interpreter == interpreter && alive.contains(one.serial);
    });
  } catch (const std::bad_alloc&) {  // the next one that has the GIL tries again
  }
}

}  // namespace

void count_take(HeldAccount& of) noexcept {
  const Cycles now = HookClock::now();
  const auto* const state =
      static_cast<const PyThreadState*>(CPythonGil::instance().holder_state());
  AccountHolder* const holder = holder_of(of, state);
  if (holder != nullptr) {
    of.take(*holder, now);
  } else {
    of.take_as_ours();
  }
}

void forget_account() noexcept {
  account.store(nullptr, std::memory_order_relaxed);
  users = 0;
  if (the_account != nullptr) the_account->forget();
}

std::vector<HolderReading> read_holders() { return read_holders(HookClock::now()); }

std::vector<HolderReading> read_holders(Cycles at) {
  return the_account == nullptr ? std::vector<HolderReading>{} : the_account->holders(at);
}

HeldSource* held_source() noexcept {
  static ProcessHeld source;
  return &source;
}

}  // namespace gilknocker::gil_hooks

#else

namespace gilknocker::gil_hooks {

HeldSource* held_source() noexcept { return nullptr; }
std::vector<HolderReading> read_holders() { return {}; }
std::vector<HolderReading> read_holders(Cycles) { return {}; }

}  // namespace gilknocker::gil_hooks

#endif
