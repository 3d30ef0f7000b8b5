/* gilknocker._load: keep, or give away, the GIL for a known time.
 *
 * What `gilknocker.testing` and the benchmarks measure against, so it stays independent of the
 * meter: the public C API only, and a clock of its own.
 *
 * Threads: a Load's settings are written once, before anybody else can see it. `stop` is the one
 * thing that is shared afterwards: any thread sets it, every thread in run() reads it, with or
 * without the GIL. It guards no other data, hence the relaxed order. */

#include <Python.h>
#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#if defined(_WIN32)
#include <windows.h>
#endif

#define NANOS_PER_SECOND 1000000000LL
/* 11 days: far beyond use, and 37 times it (the longest exponential draw) still fits in 64 bits. */
#define MAX_NANOS (1000000LL * NANOS_PER_SECOND)
/* How long a sleep without the GIL may overlook the stop flag. */
#define SLEEP_SLICE_NANOS (20LL * 1000000LL)

#if defined(_WIN32)

static int64_t now_nanos(void) {
  LARGE_INTEGER frequency, count;
  QueryPerformanceFrequency(&frequency);
  QueryPerformanceCounter(&count);
  int64_t rest = count.QuadPart % frequency.QuadPart;
  return count.QuadPart / frequency.QuadPart * NANOS_PER_SECOND +
         rest * NANOS_PER_SECOND / frequency.QuadPart;
}

static void sleep_nanos(int64_t nanos) { Sleep((DWORD)((nanos + 999999) / 1000000)); }

#else

/* Python's time.monotonic(): on macOS, CLOCK_MONOTONIC is another one. */
#if defined(__APPLE__)
#define CLOCK CLOCK_UPTIME_RAW
#else
#define CLOCK CLOCK_MONOTONIC
#endif

static int64_t now_nanos(void) {
  struct timespec now;
  clock_gettime(CLOCK, &now);
  return (int64_t)now.tv_sec * NANOS_PER_SECOND + now.tv_nsec;
}

static void sleep_nanos(int64_t nanos) {
  struct timespec duration = {.tv_sec = nanos / NANOS_PER_SECOND,
                              .tv_nsec = nanos % NANOS_PER_SECOND};
  nanosleep(&duration, NULL); /* cut short by a signal: the caller looks at the clock again */
}

#endif

static bool is_set(atomic_bool* flag) { return atomic_load_explicit(flag, memory_order_relaxed); }

/* Spins or sleeps to `deadline`, or until `stop` is set; a null `stop` never is. */
static void pass_until(int64_t deadline, bool sleep, atomic_bool* stop) {
  int64_t left;
  while ((left = deadline - now_nanos()) > 0 && !(stop && is_set(stop))) {
    if (sleep) {
      sleep_nanos(left < SLEEP_SLICE_NANOS ? left : SLEEP_SLICE_NANOS);
    }
  }
}

/* splitmix64: small, and good from any seed, also 0, 1, 2... */
static uint64_t next_random(uint64_t* state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static int64_t exponential_nanos(int64_t mean, uint64_t* state) {
  double uniform = (double)(next_random(state) >> 11) * 0x1p-53; /* [0, 1) */
  return (int64_t)(-log1p(-uniform) * (double)mean);
}

/* ---- Load ------------------------------------------------------------------------------- */

typedef struct {
  PyObject_HEAD /* the settings: */
      int64_t hold_nanos;
  int64_t free_nanos;
  bool sleep;
  bool random;
  atomic_bool stop;
} Load;

typedef struct {
  int64_t started;
  int64_t ended;
  int64_t held;
  int64_t cycles;
} Account;

static int64_t draw(const Load* load, int64_t nanos, uint64_t* random_state) {
  return load->random ? exponential_nanos(nanos, random_state) : nanos;
}

/* Called and left with the GIL held. A hold is never cut short by `stop`: who could set it? */
static Account run_cycles(Load* load, int64_t duration, uint64_t seed) {
  uint64_t random_state = seed;
  int64_t acquired = now_nanos();
  Account account = {.started = acquired};
  do {
    pass_until(acquired + draw(load, load->hold_nanos, &random_state), load->sleep, NULL);
    account.held += now_nanos() - acquired;
    PyThreadState* thread_state = PyEval_SaveThread();
    pass_until(now_nanos() + draw(load, load->free_nanos, &random_state), load->sleep, &load->stop);
    PyEval_RestoreThread(thread_state);
    acquired = now_nanos();
    account.cycles++;
  } while (!is_set(&load->stop) && (duration < 0 || acquired - account.started < duration));
  account.ended = acquired;
  return account;
}

/* A guard, not an interface: `gilknocker.testing` says it better, and first. */
static bool is_duration(long long nanos, const char* name) {
  if (nanos < 0 || nanos > MAX_NANOS) {
    PyErr_Format(PyExc_ValueError, "%s must be 0 to %lld ns, not %lld", name, MAX_NANOS, nanos);
    return false;
  }
  return true;
}

static PyObject* load_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"hold_ns", "free_ns", "sleep", "random", NULL};
  long long hold, free;
  int sleep = 0, random = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "LL|$pp:Load", names, &hold, &free, &sleep,
                                   &random)) {
    return NULL;
  }
  if (!is_duration(hold, "hold_ns") || !is_duration(free, "free_ns")) {
    return NULL;
  }
  Load* self = (Load*)type->tp_alloc(type, 0);
  if (self != NULL) {
    self->hold_nanos = hold;
    self->free_nanos = free;
    self->sleep = sleep;
    self->random = random;
    atomic_init(&self->stop, false);
  }
  return (PyObject*)self;
}

static void load_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type); /* an instance of a heap type owns a reference to it */
}

static PyObject* load_run(PyObject* self, PyObject* args, PyObject* kwargs) {
  static char* names[] = {"duration_ns", "seed", NULL};
  long long duration = -1;
  unsigned long long seed = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, "|$LK:run", names, &duration, &seed)) {
    return NULL;
  }
  Account account = run_cycles((Load*)self, duration, seed);
  return Py_BuildValue("LLLL", (long long)account.started, (long long)account.ended,
                       (long long)account.held, (long long)account.cycles);
}

static PyObject* load_stop(PyObject* self, PyObject* Py_UNUSED(ignored)) {
  atomic_store_explicit(&((Load*)self)->stop, true, memory_order_relaxed);
  Py_RETURN_NONE;
}

static PyMethodDef load_methods[] = {
    {"run", (PyCFunction)(void (*)(void))load_run, METH_VARARGS | METH_KEYWORDS,
     "run(*, duration_ns=-1, seed=0): hold and free the GIL in turns, at least once, until stop()\n"
     "or until duration_ns is over (negative: never). Returns (started_ns, ended_ns, held_ns,\n"
     "cycles) by CLOCK_MONOTONIC; only the low 64 bits of seed count."},
    {"stop", load_stop, METH_NOARGS, "stop(): end every run() after its present cycle."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot load_type_slots[] = {
    {Py_tp_doc,
     "Load(hold_ns, free_ns, *, sleep=False, random=False): a load of known duty cycle."},
    {Py_tp_new, (void*)load_new},
    {Py_tp_dealloc, (void*)load_dealloc},
    {Py_tp_methods, load_methods},
    {0, NULL},
};

static PyType_Spec load_type_spec = {
    .name = "gilknocker._load.Load",
    .basicsize = sizeof(Load),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = load_type_slots,
};

/* ---- hold_gil, release_gil -------------------------------------------------------------- */

static bool parse_pass(PyObject* args, PyObject* kwargs, const char* format, int64_t* nanos,
                       bool* sleep) {
  static char* names[] = {"seconds", "sleep", NULL};
  double seconds;
  int sleep_given = 0;
  if (!PyArg_ParseTupleAndKeywords(args, kwargs, format, names, &seconds, &sleep_given)) {
    return false;
  }
  if (!(seconds >= 0 && seconds <= (double)(MAX_NANOS / NANOS_PER_SECOND))) { /* nan fails too */
    PyErr_SetString(PyExc_ValueError, "seconds must be 0 to 1e6");
    return false;
  }
  *nanos = (int64_t)(seconds * (double)NANOS_PER_SECOND);
  *sleep = sleep_given;
  return true;
}

static PyObject* hold_gil(PyObject* Py_UNUSED(module), PyObject* args, PyObject* kwargs) {
  int64_t nanos;
  bool sleep;
  if (!parse_pass(args, kwargs, "d|$p:hold_gil", &nanos, &sleep)) {
    return NULL;
  }
  pass_until(now_nanos() + nanos, sleep, NULL);
  Py_RETURN_NONE;
}

static PyObject* release_gil(PyObject* Py_UNUSED(module), PyObject* args, PyObject* kwargs) {
  int64_t nanos;
  bool sleep;
  if (!parse_pass(args, kwargs, "d|$p:release_gil", &nanos, &sleep)) {
    return NULL;
  }
  Py_BEGIN_ALLOW_THREADS pass_until(now_nanos() + nanos, sleep, NULL);
  Py_END_ALLOW_THREADS Py_RETURN_NONE;
}

/* ---- the module ------------------------------------------------------------------------- */

static PyMethodDef module_methods[] = {
    {"hold_gil", (PyCFunction)(void (*)(void))hold_gil, METH_VARARGS | METH_KEYWORDS,
     "hold_gil(seconds, *, sleep=False): spin, or sleep, with the GIL held throughout."},
    {"release_gil", (PyCFunction)(void (*)(void))release_gil, METH_VARARGS | METH_KEYWORDS,
     "release_gil(seconds, *, sleep=False): spin, or sleep, with the GIL released."},
    {NULL, NULL, 0, NULL},
};

static int module_exec(PyObject* module) {
  PyObject* type = PyType_FromModuleAndSpec(module, &load_type_spec, NULL);
  if (type == NULL) {
    return -1;
  }
  int failed = PyModule_AddType(module, (PyTypeObject*)type);
  Py_DECREF(type);
  return failed;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void*)module_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gilknocker._load",
    .m_doc = "Keep, or give away, the GIL for a known time; behind gilknocker.testing.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__load(void) { return PyModuleDef_Init(&module_definition); }
