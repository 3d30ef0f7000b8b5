# cython: language_level=3, freethreading_compatible=True
"""The C++ meter as Python sees it: thin, without policy.

Whatever may wait for a lock or a thread lets go of the GIL first. Objects made before a fork
belong to the parent's threads: the child leaks them on purpose and starts from zero.
"""

import atexit
import os
from _thread import allocate_lock

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int64_t
from libcpp.memory cimport make_shared, make_unique, shared_ptr, unique_ptr
from libcpp.string cimport string
from libcpp.string_view cimport string_view
from libcpp.utility cimport move
from libcpp.vector cimport vector

cdef extern from "Python.h":
    int Py_AddPendingCall(int (*function)(void*) except -1, void* argument) noexcept

    ctypedef struct PyCompilerFlags:
        int cf_flags
        int cf_feature_version
    int Py_file_input, PyCF_SOURCE_IS_UTF8, PyCF_IGNORE_COOKIE, PY_MINOR_VERSION
    object Py_CompileStringObject(
        const char* source, object filename, int start, PyCompilerFlags* flags, int optimize)

cdef extern from *:
    """
    // Python calls the guard in cpython/module_init.c, which calls this.
    #define PyInit__core gilknocker_cython_init

    #ifdef GILKNOCKER_DEBUG
    #define GILKNOCKER_IS_DEBUG 1
    #else
    #define GILKNOCKER_IS_DEBUG 0
    #endif

    static unsigned long gilknocker_native_id(void) {
    #ifdef PY_HAVE_THREAD_NATIVE_ID
        return PyThread_get_thread_native_id();
    #else
        return 0;
    #endif
    }
    """
    const bint GILKNOCKER_IS_DEBUG
    unsigned long PyThread_get_thread_ident() noexcept
    unsigned long gilknocker_native_id() noexcept

DEBUG = bool(GILKNOCKER_IS_DEBUG)

# Never freed: an abandoned thread may still read it while the process ends.
cdef SystemClock* the_clock = new SystemClock()
cdef Gil* the_gil = CPythonGil.make()
if the_gil == NULL:
    raise MemoryError


def thread_ident() -> int:
    """The calling thread's ident as the system gives it: get_ident() may be anybody's."""
    return PyThread_get_thread_ident()


def native_id() -> int:
    """The calling thread's native id; 0 where Python has none."""
    return gilknocker_native_id()


def monotonic_ns() -> int:
    """The clock of time.monotonic_ns(), whatever the program makes of that."""
    return the_clock.now()


def process_number() -> int:
    """The process's number, whatever the program makes of os.getpid()."""
    return process_id()


def count_problem() -> str | None:
    """Why holds cannot be counted here, or None where they can: tried out at the first call."""
    cdef const char* problem = prepare_counting()
    return None if problem == NULL else problem.decode()


def count_clock() -> str:
    """What times the holds that are counted or traced: "tsc", "cntvct" or "clock_gettime"."""
    return HookClock.name().decode()


def look_problem() -> str | None:
    """Why the lock word cannot be read here, or None where it can."""
    cdef const char* problem = CPythonGil.instance().problem()
    return None if problem == NULL else problem.decode()


def probe_layout(ptrdiff_t shift) -> str | None:
    """What the self-test of the lock word says with all offsets moved by `shift` bytes."""
    cdef gilknocker_gil layout
    cdef const char* problem = CPythonGil.probe(&layout, shift)
    return None if problem == NULL else problem.decode()


def look_series(Py_ssize_t count, int64_t pause_ns) -> bytes:
    """Look `count` times, `pause_ns` apart, with the GIL released: for tests against an oracle.

    Returns native int64 triples: the clock before and after each look, and what was seen
    (0 disabled, 1 free, 2 held, 3 held by a knocker).
    """
    cdef CPythonGil* gil = &CPythonGil.instance()
    cdef vector[int64_t] seen
    cdef Py_ssize_t i
    if not gil.can_look():
        raise RuntimeError(look_problem())
    seen.reserve(3 * count)
    with nogil:
        for i in range(count):
            sleep_for(pause_ns)
            seen.push_back(the_clock.now())
            seen.push_back(0)
            seen.push_back(<int64_t>gil.look())
            seen[3 * i + 1] = the_clock.now()
    return PyBytes_FromStringAndSize(<const char*>seen.data(), seen.size() * sizeof(int64_t))


def bucket_of(int64_t ns) -> int:
    """The histogram bucket of a wait."""
    return WaitHistogram.bucket_of(ns)


def bucket_bounds(Py_ssize_t bucket) -> tuple[int, int]:
    """The waits v of a bucket: lower <= v < upper, ns."""
    if not 0 <= bucket < <Py_ssize_t>kBuckets:
        raise ValueError(f"bucket must be in 0..{kBuckets - 1}, got {bucket}")
    cdef int64_t lower = WaitHistogram.lower(bucket)
    return lower, int(lower) + WaitHistogram.width(bucket)


def live_objects() -> dict[str, int]:
    """How many C++ objects of each kind are alive; all zero in a release build."""
    return {
        "Sampler": CppSampler.value(),
        "Ledger": Ledger.value(),
        "Worker": Worker.value(),
        "OwnThreadState": OwnThreadState.value(),
        "HeldStacks": HeldStacks.value(),
        "StallWatch": StallWatch.value(),
        "WaitChunk": WaitChunk.value(),
        "TraceBook": TraceBook.value(),
    }


def compile_program(source: str | bytes, filename: str) -> CodeType:
    """Compile a main program as Python does, with the flags of none of our own modules.

    The same as compile(), which makes all the classes of `ast` first: 2 ms at a program's start.
    REQUIRES: no zero in `source`.
    """
    cdef PyCompilerFlags flags
    flags.cf_flags = PyCF_SOURCE_IS_UTF8
    flags.cf_feature_version = PY_MINOR_VERSION
    cdef bytes text
    if isinstance(source, str):
        text = source.encode()
        flags.cf_flags |= PyCF_IGNORE_COOKIE
    else:
        text = source
    return Py_CompileStringObject(text, filename, Py_file_input, &flags, -1)


include "_core_lifecycle.pxi"
include "_core_sampler.pxi"
include "_core_trace.pxi"
include "_core_stacks.pxi"
include "_core_stalls.pxi"
