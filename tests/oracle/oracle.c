/* The exact truth about the GIL, for tests: who held it, from when to when.
 *
 * CPython tells its GIL's condition variables of every change: taking the GIL signals
 * `gil->switch_cond`, dropping it signals `gil->cond`. So the interpreter's own relocations of
 * `pthread_cond_signal` are redirected to a hook, which takes the time. Which condition variable
 * is which shows when this thread drops and takes the GIL once (calibrate()). Neither CPython's
 * internal headers nor the lock word are looked at: this is an independent witness.
 *
 * Threads: CPython signals both condition variables with `gil->mutex` held, so hooks of GIL
 * changes run one after the other, each seeing what the one before wrote: `truth` needs no
 * atomics. Every function called from Python holds the GIL, and may read and write `truth` too:
 * only a thread that takes the GIL (it cannot, we have it) or drops it (nobody else has it) is in
 * such a hook, and whoever dropped it before us unlocked `gil->mutex` after its hook and before we
 * locked that mutex to take the GIL. Only `taken_cond` and `dropped_cond` are also read by threads
 * that signal anything else at any time: atomic.
 *
 * A hook must not allocate, lock or call Python, and keeps errno: it runs inside CPython's lock. */

#define _GNU_SOURCE
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "relocations.h"

#define OWN_NAME "gilknock" /* what the names of our own threads start with */

/* initial-exec: glibc's other models may allocate when a thread first comes here, inside the hook.
 * musl never does, and refuses to load a library with such variables after the start. */
#if defined(__GLIBC__)
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))
#else
#define THREAD_LOCAL static __thread
#endif

/* ---- what the hooks write ----------------------------------------------------------------- */

enum state { FREE, HELD_BY_OTHER, HELD_BY_OURS };

struct transition {
  int64_t at;
  int64_t state; /* from then on */
};

static struct {
  enum state state;
  int64_t since;
  int64_t held, holds; /* of others; ended ones */
  int64_t own_held, own_holds, own_longest;
  int64_t transitions;
  struct transition* log; /* a ring of the newest `capacity`; null if that is 0 */
  int64_t capacity;
} truth;

static _Atomic(pthread_cond_t*) taken_cond, dropped_cond;

/* Counts start()s: a thread's name is looked up anew in each of them. Written while unhooked. */
static unsigned session;

static int64_t now_nanos(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool is_own_thread(void) {
  THREAD_LOCAL unsigned seen_in;
  THREAD_LOCAL bool own;
  if (seen_in != session) {
    char name[16] = "";
    int saved_errno = errno;
    prctl(PR_GET_NAME, name);
    errno = saved_errno;
    own = strncmp(name, OWN_NAME, strlen(OWN_NAME)) == 0;
    seen_in = session;
  }
  return own;
}

static void end_hold(int64_t duration) {
  if (truth.state == HELD_BY_OTHER) {
    truth.held += duration;
    truth.holds++;
  } else if (truth.state == HELD_BY_OURS) {
    truth.own_held += duration;
    truth.own_holds++;
    if (duration > truth.own_longest) {
      truth.own_longest = duration;
    }
  }
}

static void change_to(enum state state, int64_t at) {
  end_hold(at - truth.since);
  truth.state = state;
  truth.since = at;
  if (truth.log != NULL) {
    truth.log[truth.transitions % truth.capacity] = (struct transition){at, state};
  }
  truth.transitions++;
}

/* ---- the hook ----------------------------------------------------------------------------- */

/* What the calibrating thread itself signals, by call. */
THREAD_LOCAL bool calibrating;
THREAD_LOCAL int signalled;
THREAD_LOCAL pthread_cond_t* last_signalled;

static int hook(pthread_cond_t* cond) {
  if (cond == atomic_load_explicit(&taken_cond, memory_order_relaxed)) {
    int64_t at = now_nanos();
    change_to(is_own_thread() ? HELD_BY_OURS : HELD_BY_OTHER, at);
  } else if (cond == atomic_load_explicit(&dropped_cond, memory_order_relaxed)) {
    change_to(FREE, now_nanos());
  } else if (calibrating) {
    signalled++;
    last_signalled = cond;
  }
  /* By this library's own link, so of the version that CPython's headers meant: dlsym() may
   * answer with glibc's old one (GLIBC_2.2.5), which has another pthread_cond_t. */
  return pthread_cond_signal(cond);
}

/* True if dropping and taking the GIL signalled one condition variable each. Others who do so
 * meanwhile do not disturb: only this thread counts. */
static bool calibrate(pthread_cond_t** dropped, pthread_cond_t** taken) {
  signalled = 0;
  calibrating = true;
  PyThreadState* thread_state = PyEval_SaveThread();
  bool once_dropped = signalled == 1;
  *dropped = last_signalled;
  PyEval_RestoreThread(thread_state);
  calibrating = false;
  *taken = last_signalled;
  return once_dropped && signalled == 2 && *dropped != *taken;
}

/* ---- for Python: every function is called with the GIL held --------------------------------- */

static bool running;

static bool must_run(void) {
  if (!running) {
    PyErr_SetString(PyExc_RuntimeError, "the oracle is not running");
  }
  return running;
}

/* `beneath`: where somebody else has redirected the interpreter, look into whom it is led to. */
static bool find(bool beneath) {
  enum found found = find_relocations((const void*)PyEval_RestoreThread);
  if (found == FOUND_FOREIGN && beneath && foreign_target() != NULL) {
    found = find_relocations(foreign_target());
  }
  if (found != FOUND) {
    PyErr_SetString(PyExc_RuntimeError,
                    found == FOUND_NONE
                        ? "the interpreter has no relocation of pthread_cond_signal"
                        : "pthread_cond_signal is redirected already, by somebody else");
  }
  return found == FOUND;
}

static void end_session(void) {
  free(truth.log);
  truth.log = NULL;
  running = false;
}

static bool begin_session(long long capacity) {
  memset(&truth, 0, sizeof truth);
  if (capacity > 0) {
    size_t size = (size_t)capacity * sizeof *truth.log;
    truth.log = malloc(size);
    if (truth.log == NULL) {
      PyErr_NoMemory();
      return false;
    }
    memset(truth.log, 0xff, size); /* so that no hook takes a page fault */
    truth.capacity = capacity;
  }
  running = true; /* before calibrate() lets other threads run */
  session++;
  return true;
}

static bool hook_in(void) {
  if (is_own_thread()) { /* threads inherit names: everybody's holds might look like ours */
    PyErr_SetString(PyExc_RuntimeError, "the oracle's thread is named " OWN_NAME "...");
    return false;
  }
  if (redirect_relocations(hook) != 0) {
    PyErr_SetString(PyExc_RuntimeError, "a relocation's page cannot be made writable");
    return false;
  }
  pthread_cond_t *dropped, *taken;
  if (!calibrate(&dropped, &taken)) {
    restore_relocations(hook);
    PyErr_SetString(PyExc_RuntimeError, "dropping and taking the GIL signals in unknown ways");
    return false;
  }
  change_to(HELD_BY_OTHER, now_nanos());
  atomic_store(&taken_cond, taken);
  atomic_store(&dropped_cond, dropped);
  return true;
}

static PyObject* start(PyObject* Py_UNUSED(module), PyObject* args) {
  long long capacity;
  int beneath;
  if (!PyArg_ParseTuple(args, "Lp:start", &capacity, &beneath)) {
    return NULL;
  }
  if (running) {
    PyErr_SetString(PyExc_RuntimeError, "the oracle is running already");
    return NULL;
  }
  if (!find(beneath) || !begin_session(capacity)) {
    return NULL;
  }
  if (!hook_in()) {
    end_session();
    return NULL;
  }
  Py_RETURN_NONE;
}

static PyObject* stop(PyObject* Py_UNUSED(module), PyObject* Py_UNUSED(ignored)) {
  if (!must_run()) {
    return NULL;
  }
  atomic_store(&taken_cond, NULL);
  atomic_store(&dropped_cond, NULL);
  int failed = restore_relocations(hook);
  end_session();
  if (failed) {
    PyErr_SetString(PyExc_RuntimeError, "a relocation was changed under the oracle, and left");
    return NULL;
  }
  Py_RETURN_NONE;
}

/* The caller's own hold, still going on, counts up to now: as time, not as a hold. */
static PyObject* counters(PyObject* Py_UNUSED(module), PyObject* args) {
  int forget_longest;
  if (!PyArg_ParseTuple(args, "p:counters", &forget_longest) || !must_run()) {
    return NULL;
  }
  int64_t now = now_nanos();
  int64_t present = now - truth.since;
  int64_t held = truth.held + (truth.state == HELD_BY_OTHER ? present : 0);
  int64_t own_held = truth.own_held + (truth.state == HELD_BY_OURS ? present : 0);
  int64_t longest = truth.own_longest;
  if (forget_longest) {
    truth.own_longest = 0;
  }
  return Py_BuildValue("LLLLLL", (long long)now, (long long)held, (long long)truth.holds,
                       (long long)own_held, (long long)truth.own_holds, (long long)longest);
}

/* The ring as it lies: Python turns it round. */
static PyObject* transitions(PyObject* Py_UNUSED(module), PyObject* Py_UNUSED(ignored)) {
  if (!must_run()) {
    return NULL;
  }
  int64_t kept = truth.transitions < truth.capacity ? truth.transitions : truth.capacity;
  return Py_BuildValue(
      "LLN", (long long)now_nanos(), (long long)truth.transitions,
      PyBytes_FromStringAndSize((const char*)truth.log, kept * (Py_ssize_t)sizeof *truth.log));
}

static PyObject* slots(PyObject* Py_UNUSED(module), PyObject* Py_UNUSED(ignored)) {
  if (!running && !find(false)) {
    return NULL;
  }
  PyObject* addresses = PyList_New(0);
  for (size_t i = 0; addresses != NULL && i < relocation_count(); i++) {
    PyObject* address = PyLong_FromVoidPtr((void*)relocation_address(i));
    if (address == NULL || PyList_Append(addresses, address) != 0) {
      Py_CLEAR(addresses);
    }
    Py_XDECREF(address);
  }
  return addresses;
}

static PyMethodDef methods[] = {
    {"start", start, METH_VARARGS,
     "start(capacity, beneath): hook in; log the newest `capacity` changes."},
    {"stop", stop, METH_NOARGS, "stop(): put back what was there."},
    {"counters", counters, METH_VARARGS,
     "counters(forget_longest): (now, held, holds, own_held, own_holds, own_longest), in ns."},
    {"transitions", transitions, METH_NOARGS, "transitions(): (now, how many, the log's bytes)."},
    {"slots", slots, METH_NOARGS, "slots(): the addresses of the relocated pointers."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot module_slots[] = {
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_gil_oracle",
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__gil_oracle(void) { return PyModuleDef_Init(&definition); }
