/* With stack_layout.c the only file that includes CPython's internal headers: they compile as C. */
#if !defined(_WIN32)

#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h>

#include "internal/pycore_ceval.h"
#include "internal/pycore_gil.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"

#if PY_VERSION_HEX >= 0x030E0000
#include "internal/pycore_debug_offsets.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/uio.h>
#endif

#include "gil_layout.h"

/* Offsets inside the interpreter's structures, from whichever source this version trusts. */
struct offsets {
  const char* gil; /* address of struct _gil_runtime_state */
  size_t locked;
  size_t last_holder;
  size_t switch_number;
  ptrdiff_t enabled; /* -1 where there always is a GIL */
  const int* drop_request;
};

/* ---- reading what may not be there ---------------------------------------------------------- */

/* write(2) checks the address for us where process_vm_readv(2) is not to be had. */
static int read_through_pipe(void* to, const void* from, size_t size) {
  int ends[2];
#if defined(__linux__)
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
#else
  if (pipe(ends) != 0) return -1;
#endif
  ssize_t moved = write(ends[1], from, size);
  if (moved == (ssize_t)size) moved = read(ends[0], to, size);
  close(ends[0]);
  close(ends[1]);
  return moved == (ssize_t)size ? 0 : -1;
}

int gilknocker_safe_read(void* to, const void* from, size_t size) {
  const int before = errno;
  int result = -1;
#if defined(__linux__)
  struct iovec local = {to, size};
  struct iovec remote = {(void*)(uintptr_t)from, size};
  const ssize_t moved = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
  if (moved == (ssize_t)size) result = 0;
  if (moved < 0 && errno != EFAULT) result = read_through_pipe(to, from, size);
#else
  result = read_through_pipe(to, from, size);
#endif
  errno = before;
  return result;
}

/* An address that may be nobody's: as a number, for such pointers are not to be calculated with. */
static const char* at(const void* base, uint64_t offset) {
  return (const char*)((uintptr_t)base + (uintptr_t)offset);
}

static int plausible(const void* pointer) {
  const uintptr_t address = (uintptr_t)pointer;
  return address >= 4096 && address % sizeof(void*) == 0;
}

/* Of this nobody but the headers tells. */
static size_t switch_number_after_locked(void) {
  return offsetof(struct _gil_runtime_state, switch_number) -
         offsetof(struct _gil_runtime_state, locked);
}

/* ---- where CPython says it is --------------------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030D0000

static const char* find_offsets(struct offsets* found, ptrdiff_t shift) {
  struct _Py_DebugOffsets table;
  if (gilknocker_safe_read(&table, &_PyRuntime, sizeof table) != 0) return "_PyRuntime unreadable";
  if (memcmp(table.cookie, _Py_Debug_Cookie, sizeof table.cookie) != 0) {
    return "no debug offsets in _PyRuntime";
  }
  if (table.version >> 16 != PY_VERSION_HEX >> 16) return "debug offsets of another Python";
  const char* ceval = at(PyInterpreterState_Get(), table.interpreter_state.ceval_gil);
  const uint64_t state = table.interpreter_state.gil_runtime_state;
  if (gilknocker_safe_read(&found->gil, at(ceval, (uint64_t)shift), sizeof found->gil) != 0) {
    return "ceval unreadable";
  }
  /* These two are relative to the interpreter, `enabled` to the GIL's own structure. */
  found->locked = (size_t)(table.interpreter_state.gil_runtime_state_locked - state);
  found->last_holder = (size_t)(table.interpreter_state.gil_runtime_state_holder - state);
  found->switch_number = found->locked + switch_number_after_locked();
  found->enabled =
      table.free_threaded ? (ptrdiff_t)table.interpreter_state.gil_runtime_state_enabled : -1;
  found->drop_request = NULL;
  return NULL;
}

#else

static const char* find_offsets(struct offsets* found, ptrdiff_t shift) {
#if PY_VERSION_HEX >= 0x030C0000
  const char* slot = at(PyInterpreterState_Get(), offsetof(PyInterpreterState, ceval.gil));
  if (gilknocker_safe_read(&found->gil, at(slot, (uint64_t)shift), sizeof found->gil) != 0) {
    return "ceval unreadable";
  }
#else
  found->gil = at(at(&_PyRuntime, offsetof(_PyRuntimeState, ceval.gil)), (uint64_t)shift);
#endif
  found->locked = offsetof(struct _gil_runtime_state, locked);
  found->last_holder = offsetof(struct _gil_runtime_state, last_holder);
  found->switch_number = found->locked + switch_number_after_locked();
  found->enabled = -1;
  found->drop_request = (const int*)&PyInterpreterState_Get()->ceval.gil_drop_request;
  return NULL;
}

#endif

/* ---- and whether it is ---------------------------------------------------------------------- */

/* What sys.NAME() answers, as a number; -1 where it cannot be asked. */
static double asked_of_sys(const char* name) {
  PyObject* const function = PySys_GetObject(name); /* borrowed */
  PyObject* const answer = function == NULL ? NULL : PyObject_CallNoArgs(function);
  const double number = answer == NULL ? -1.0 : PyFloat_AsDouble(answer);
  Py_XDECREF(answer);
  PyErr_Clear();
  return number;
}

/* The switch interval stands before the holder in every version. This is known of a disabled GIL
 * too, of which there is nothing else to know. */
static int follows_the_interval(const struct offsets* found) {
  const size_t back = offsetof(struct _gil_runtime_state, last_holder) -
                      offsetof(struct _gil_runtime_state, interval);
  unsigned long micros = 0;
  const char* const where = at(found->gil, (uint64_t)(found->last_holder - back));
  if (gilknocker_safe_read(&micros, where, sizeof micros) != 0) return 0;
  return (double)micros == round(asked_of_sys("getswitchinterval") * 1e6);
}

static const char* check_state(const struct offsets* found) {
  int enabled = 1;
  int locked = 0;
  void* holder = NULL;
  if (found->enabled >= 0 &&
      gilknocker_safe_read(&enabled, at(found->gil, (uint64_t)found->enabled), sizeof enabled) !=
          0) {
    return "the GIL's state is unreadable";
  }
  if (gilknocker_safe_read(&locked, at(found->gil, found->locked), sizeof locked) != 0 ||
      gilknocker_safe_read(&holder, at(found->gil, found->last_holder), sizeof holder) != 0) {
    return "the GIL's state is unreadable";
  }
  if (!follows_the_interval(found)) return "the switch interval is not where it should be";
  if (found->enabled >= 0 && (enabled != 0) != (asked_of_sys("_is_gil_enabled") != 0)) {
    return "whether there is a GIL does not read as it is";
  }
  if (enabled == 0) return locked <= 0 ? NULL : "a disabled GIL reads as locked";
  if (locked != 1) return "the GIL that we hold does not read as locked";
  if (holder != (void*)PyThreadState_Get()) return "the GIL that we hold has another holder";
  return NULL;
}

const char* gilknocker_find_gil(struct gilknocker_gil* gil, ptrdiff_t shift) {
  struct offsets found;
  const char* problem = find_offsets(&found, shift);
  if (problem != NULL) return problem;
  if (!plausible(found.gil)) return "implausible address of the GIL";
  problem = check_state(&found);
  if (problem != NULL) return problem;
  gil->enabled = found.enabled < 0 ? NULL : (const int*)at(found.gil, (uint64_t)found.enabled);
  gil->locked = (const int*)at(found.gil, found.locked);
  gil->last_holder = (void* const*)at(found.gil, found.last_holder);
  gil->switch_number = (const unsigned long*)at(found.gil, found.switch_number);
  gil->drop_request = found.drop_request;
  gil->whole = NULL;
  if (found.locked == offsetof(struct _gil_runtime_state, locked) &&
      found.last_holder == offsetof(struct _gil_runtime_state, last_holder)) {
    gil->whole = (void*)(uintptr_t)found.gil;
  }
  return NULL;
}

/* ---- the look ------------------------------------------------------------------------------- */

int gilknocker_is_enabled(const struct gilknocker_gil* gil) {
  return gil->enabled == NULL || __atomic_load_n(gil->enabled, __ATOMIC_RELAXED) != 0;
}

int gilknocker_is_locked(const struct gilknocker_gil* gil) {
  return __atomic_load_n(gil->locked, __ATOMIC_RELAXED) == 1;
}

void* gilknocker_last_holder(const struct gilknocker_gil* gil) {
  return __atomic_load_n(gil->last_holder, __ATOMIC_RELAXED);
}

unsigned long gilknocker_switch_number(const struct gilknocker_gil* gil) {
  return __atomic_load_n(gil->switch_number, __ATOMIC_RELAXED);
}

int gilknocker_waiting_place(const struct gilknocker_gil* gil, uint64_t* begin, uint64_t* end) {
  *begin = (uintptr_t)gil->whole;
  *end = *begin + sizeof(struct _gil_runtime_state);
  return gil->whole == NULL ? -1 : 0;
}

#if PY_VERSION_HEX >= 0x030D0000
const uintptr_t gilknocker_drop_request_bit = _PY_GIL_DROP_REQUEST_BIT;
#else
const uintptr_t gilknocker_drop_request_bit = 0;
#endif

/* ---- after a fork --------------------------------------------------------------------------- */

static PyThreadState* current_state(void) {
#if PY_VERSION_HEX >= 0x030D0000
  return PyThreadState_GetUnchecked();
#elif PY_VERSION_HEX >= 0x030C0000
  return _PyThreadState_UncheckedGet();
#else
  /* That is the holder's, whoever it is; this is the calling thread's, whether it holds or not. */
  PyThreadState* const state = _PyThreadState_UncheckedGet();
  return state == PyGILState_GetThisThreadState() ? state : NULL;
#endif
}

int gilknocker_is_mine(const struct gilknocker_gil* gil) {
  const PyThreadState* const state = current_state();
  return state != NULL && gilknocker_is_locked(gil) && gilknocker_last_holder(gil) == (void*)state;
}

/* As CPython makes them. */
static void make_cond(pthread_cond_t* cond) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
#if defined(HAVE_PTHREAD_CONDATTR_SETCLOCK) && !defined(__APPLE__)
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
  pthread_cond_init(cond, &attributes);
  pthread_condattr_destroy(&attributes);
}

void gilknocker_forget_other_threads(const struct gilknocker_gil* gil) {
  struct _gil_runtime_state* const state = gil->whole;
  if (state == NULL || !gilknocker_is_enabled(gil)) return;
  const int mine = gilknocker_is_mine(gil);
  pthread_mutex_init(&state->mutex, NULL);
  make_cond(&state->cond);
#ifdef FORCE_SWITCHING
  pthread_mutex_init(&state->switch_mutex, NULL);
  make_cond(&state->switch_cond);
#endif
  if (!mine && gilknocker_is_locked(gil)) {
    __atomic_store_n((int*)(uintptr_t)gil->locked, 0, __ATOMIC_RELAXED);
#if PY_VERSION_HEX < 0x030C0000
    _Py_atomic_store_relaxed(&_PyRuntime.gilstate.tstate_current, 0);
#endif
  }
  /* Who holds it would let go and wait for the thread that asked. */
#if PY_VERSION_HEX >= 0x030D0000
  PyThreadState* const me = PyGILState_GetThisThreadState();
  if (me != NULL) _Py_unset_eval_breaker_bit(me, _PY_GIL_DROP_REQUEST_BIT);
#else
  __atomic_store_n((int*)(uintptr_t)gil->drop_request, 0, __ATOMIC_RELAXED);
#endif
}

/* ---- whose state it is ---------------------------------------------------------------------- */

#define END_OF(field) (offsetof(PyThreadState, field) + sizeof(((PyThreadState*)0)->field))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#if PY_VERSION_HEX >= 0x030D0000
const size_t gilknocker_state_size =
    MAX(MAX(END_OF(id), END_OF(thread_id)), MAX(END_OF(native_thread_id), END_OF(eval_breaker)));
#elif PY_VERSION_HEX >= 0x030B0000
const size_t gilknocker_state_size =
    MAX(MAX(END_OF(id), END_OF(thread_id)), END_OF(native_thread_id));
#else
const size_t gilknocker_state_size = MAX(END_OF(id), END_OF(thread_id));
#endif

#define COPIED(to, field) \
  memcpy(&(to), (const char*)copy + offsetof(PyThreadState, field), sizeof(to))

int gilknocker_drop_requested(const struct gilknocker_gil* gil, const void* copy) {
#if PY_VERSION_HEX >= 0x030D0000
  uintptr_t breaker = 0;
  (void)gil;
  COPIED(breaker, eval_breaker);
  return (breaker & _PY_GIL_DROP_REQUEST_BIT) != 0;
#else
  (void)copy; /* of the interpreter, which is there as long as we are */
  return __atomic_load_n(gil->drop_request, __ATOMIC_RELAXED) != 0;
#endif
}

void gilknocker_identify(const void* copy, struct gilknocker_thread* thread) {
  COPIED(thread->id, id);
  COPIED(thread->ident, thread_id);
#if PY_VERSION_HEX >= 0x030B0000
  COPIED(thread->native_id, native_thread_id);
#else
  thread->native_id = 0;
#endif
}

#else

#include "gil_layout.h"

/* Nobody asks the rest of what was not found. */

const char* gilknocker_find_gil(struct gilknocker_gil* gil, ptrdiff_t shift) {
  (void)gil, (void)shift;
  return "the lock word is not looked for on Windows";
}

void gilknocker_forget_other_threads(const struct gilknocker_gil* gil) { (void)gil; }
int gilknocker_is_mine(const struct gilknocker_gil* gil) { return (void)gil, 0; }
int gilknocker_is_enabled(const struct gilknocker_gil* gil) { return (void)gil, 1; }
int gilknocker_is_locked(const struct gilknocker_gil* gil) { return (void)gil, 0; }
void* gilknocker_last_holder(const struct gilknocker_gil* gil) { return (void)gil, NULL; }
unsigned long gilknocker_switch_number(const struct gilknocker_gil* gil) { return (void)gil, 0; }
const size_t gilknocker_state_size = 0;

int gilknocker_drop_requested(const struct gilknocker_gil* gil, const void* copy) {
  return (void)gil, (void)copy, 0;
}

int gilknocker_safe_read(void* to, const void* from, size_t size) {
  return (void)to, (void)from, (void)size, -1;
}

int gilknocker_waiting_place(const struct gilknocker_gil* gil, uint64_t* begin, uint64_t* end) {
  return (void)gil, (void)begin, (void)end, -1;
}

void gilknocker_identify(const void* copy, struct gilknocker_thread* thread) {
  (void)copy, (void)thread;
}

#endif
