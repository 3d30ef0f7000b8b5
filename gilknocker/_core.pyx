# cython: language_level=3, freethreading_compatible=True
"""The C++ meter as Python sees it: thin, without policy.

Whatever may wait for a lock or a thread lets go of the GIL first. Objects made before a fork
belong to the parent's threads: the child leaks them on purpose and starts from zero.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_FillInfo
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int64_t
from libcpp.memory cimport make_unique, shared_ptr, unique_ptr
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

# How long a sampler that is dropped without stop() waits for a stuck knock, ns.
cdef int64_t DROP_TIMEOUT = 1_000_000_000

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
    """What times the holds that are counted: "tsc", "cntvct" or "clock_gettime"."""
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
        "GilSeat": GilSeat.value(),
        "HeldStacks": HeldStacks.value(),
        "StallWatch": StallWatch.value(),
        "WaitChunk": WaitChunk.value(),
        "TraceBook": TraceBook.value(),
    }


cdef int run_pending(void* argument) except -1 with gil:
    cdef object function = <object>argument
    Py_DECREF(function)
    insist(function)  # what it raises is raised in the main thread
    return 0


cdef object persist(function):
    """Call `function`, again until it returns; return what it raised last, or None."""
    error = None
    for _ in range(1000):  # who raises each time does so for a reason of its own
        try:
            function()
            break
        except BaseException as raised:
            error = raised
    return error


def insist(function) -> None:
    """Call `function`, again until it returns, and raise at the end what it raised last.

    For what must be done whole at an exit or a fork: the program's signal handlers may raise
    anywhere in Python code, but not in here. `function` must be such that it can be called again
    wherever it was left.
    """
    error = persist(function)
    if error is not None:
        raise error


def at_fork(lifecycle, int change, function) -> None:
    """Count a fork that begins or is over, and `insist` on what follows from that.

    When one is over, what follows is done under the lock: nobody sees the one without the other.
    """
    lock = lifecycle.lock
    errors = [persist(lock.acquire)]
    lifecycle.forks = max(lifecycle.forks + change, 0)
    if change > 0:
        lock.release()
        errors.append(persist(function))
    else:
        errors.append(persist(function))
        lock.release()
    for error in errors:
        if error is not None:
            raise error


def call_soon(function) -> None:
    """Call `function` from the main thread, which calls, as soon as that runs Python code again."""
    Py_INCREF(function)
    if Py_AddPendingCall(run_pending, <void*><PyObject*>function) != 0:
        Py_DECREF(function)
        function()  # the queue is full: better now than never


cdef void call_as_ours(object function) noexcept:
    try:
        CPythonGil.instance().begin_own()
        try:
            function()
        finally:
            CPythonGil.instance().end_own()
    finally:
        Py_DECREF(function)


cdef void* run_as_ours(void* function) noexcept nogil:
    set_name("gilknock-python")
    mark_ours()  # before it asks for the GIL: nothing of it is counted as the program's
    with gil:
        call_as_ours(<object>function)
    return NULL


def start_as_ours(function) -> None:
    """Call `function` on a new thread, which is one of the meter's: not counted with the program's.

    It is no thread of :mod:`threading`'s, and takes none of the program's signals.
    """
    cdef Thread thread
    Py_INCREF(function)
    try:
        thread.start(&run_as_ours, <void*><PyObject*>function)
    except BaseException:
        Py_DECREF(function)
        raise
    thread.detach()


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


cdef class NanosBuffer:
    """Read-only int64 values under the buffer protocol."""

    cdef vector[int64_t] values
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]

    def __getbuffer__(self, Py_buffer* view, int flags):
        if flags & PyBUF_WRITABLE:
            raise BufferError("waits are read-only")
        self.shape[0] = self.values.size()
        self.strides[0] = sizeof(int64_t)
        view.buf = self.values.data() if self.values.size() else <void*>self.shape
        view.obj = self
        view.len = self.shape[0] * sizeof(int64_t)
        view.readonly = 1
        view.itemsize = sizeof(int64_t)
        # numpy's int64 is "long" where that has 64 bits, and only equal to "long long".
        view.format = b"l" if sizeof(long) == sizeof(int64_t) else b"q"
        view.ndim = 1
        view.shape = self.shape
        view.strides = self.strides
        view.suboffsets = NULL
        view.internal = NULL


cdef class WaitSlice:
    """Some consecutive knocks: immutable, sharing its memory with the log that it came from."""

    cdef WaitView view

    def __len__(self) -> int:
        return self.view.size()

    @property
    def first_sequence(self) -> int:
        return self.view.first_sequence()

    def since(self, int64_t sequence) -> WaitSlice:
        cdef WaitSlice result = WaitSlice.__new__(WaitSlice)
        result.view = self.view.since(sequence)
        return result

    def waits(self) -> NanosBuffer:
        cdef NanosBuffer result = NanosBuffer.__new__(NanosBuffer)
        result.values.resize(self.view.size())
        with nogil:
            self.view.copy_waits(result.values.data())
        return result

    def times(self) -> NanosBuffer:
        cdef NanosBuffer result = NanosBuffer.__new__(NanosBuffer)
        result.values.resize(self.view.size())
        with nogil:
            self.view.copy_times(result.values.data())
        return result


cdef dict counts_of(const Reading& reading):
    return {
        "epoch": reading.epoch,
        "pid": process_id(),
        "start_ns": reading.start,
        "end_ns": reading.end,
        "start_unix_ns": reading.start_unix,
        "end_unix_ns": reading.end_unix,
        "observed_ns": reading.observed,
        "held_ns": reading.held,
        "counted_ns": reading.counted,
        "ticks": reading.ticks.ticks,
        "ticks_held": reading.ticks.held,
        "ticks_own": reading.ticks.own,
        "ticks_late": reading.ticks.late,
        "ticks_missed": reading.ticks.missed,
        "ticks_disabled": reading.ticks.disabled,
        "knocks": reading.knocks.knocks,
        "knocks_missed": reading.knocks.missed,
        "knock_observed_ns": reading.knocks.observed,
        "wait_total_ns": reading.knocks.wait_total,
        "wait_max_ns": reading.knocks.wait_max,
        "floor_ns": reading.floor.value() if reading.floor.has_value() else -1,
        "in_flight_ns": reading.in_flight,
        "cpu_ns": reading.cpu,
        "slice_active": bool(reading.slice_active),
        "_looks": weights_of(reading),
    }


cdef tuple weights_of(const Reading& reading):
    """The weights of looks that do not all weigh the same, in units of the shortest stratum."""
    if reading.looks.all == reading.ticks.ticks or not reading.looks.all:
        return None
    return reading.looks.held, reading.looks.enabled, reading.looks.squared


cdef class Sampler:
    """Watcher and knocker on threads of their own. All arguments are checked by the caller."""

    cdef CppSampler* _sampler
    cdef SamplerPlan _plan
    cdef long _generation
    cdef CountedHolders _holders
    cdef bint _keeps_holders  # _holders goes on from where it is
    cdef object __weakref__

    def __cinit__(
        self,
        int64_t interval_ns,
        int64_t knock_interval_ns,
        *,
        int64_t knocks_per_burst,
        int64_t burst_rest_ns,
        int64_t late_after_ns,
        int64_t contended_after_ns,
        size_t log_capacity,
        int dense_start=0,
        bint stacks=False,
        int64_t stall_ns=0,
        int stall_descriptor=-1,
        bint stall_json=False,
        bint look=True,
        bint count=False,
        double budget=0.0,
    ):
        self._plan.interval = interval_ns
        self._plan.dense_start = dense_start
        self._plan.knocks.interval = knock_interval_ns
        self._plan.knocks.ticks_per_burst = knocks_per_burst
        self._plan.knocks.burst_rest = burst_rest_ns
        self._plan.late_after = late_after_ns
        self._plan.contended_after = contended_after_ns
        self._plan.log_capacity = log_capacity
        self._plan.stacks = NULL
        if stacks:  # the caller has asked whether they can be read
            self._plan.stacks = &stacks_offsets()
        self._plan.stalls.longer_than = stall_ns
        self._plan.stalls.output = Descriptor.of(stall_descriptor)
        if stall_json:
            self._plan.stalls.format = StallFormat.kJson
        if stall_ns and stacks_problem() == NULL:
            self._plan.stalls.stacks = &stacks_offsets()
        self._plan.look = look
        self._plan.count = count and look
        self._plan.budget = budget
        self._make()

    cdef void _make(self) except *:
        self._sampler = new CppSampler(the_gil[0], the_clock[0], self._plan)
        self._generation = fork_generation()
        self._holders = CountedHolders()
        self._keeps_holders = False

    cdef CppSampler* _here(self) except NULL:
        """The sampler of this process: in a forked child a new one, the parent's is leaked."""
        if self._generation != fork_generation():
            self._make()
        return self._sampler

    def __dealloc__(self):
        cdef CppSampler* sampler = self._sampler
        if sampler == NULL or self._generation != fork_generation():
            return
        sampler.claim_seat()
        # A knock that waits for an interpreter that ends will never be answered.
        cdef int64_t timeout = 0 if interpreter_ends() else DROP_TIMEOUT
        with nogil:
            sampler.stop(timeout)
        sampler.counting().turn_off()
        del sampler

    def start(self) -> None:
        cdef CppSampler* sampler = self._here()
        if self._plan.count:
            self._turn_on(sampler)
        cdef unique_ptr[GilSeat] seat = the_gil.open_seat()
        try:
            with nogil:
                sampler.start(seat)
        finally:
            if seat.get() != NULL:
                seat.get().close()
            self._settle(sampler)

    def stop(self, int64_t timeout_ns) -> bool:
        cdef CppSampler* sampler = self._here()
        cdef bint ended
        sampler.claim_seat()
        with nogil:
            ended = sampler.stop(timeout_ns)
        self._settle(sampler)
        return ended

    cdef void _turn_on(self, CppSampler* sampler) except *:
        sampler.counting().turn_on()
        if not self._keeps_holders:
            self._holders.resume(read_holders())
            self._keeps_holders = True

    cdef void _settle(self, CppSampler* sampler) except *:
        """Count while it runs, whatever other threads have started or stopped meanwhile."""
        if not self._plan.count:
            return
        if sampler.is_running():
            if not self._keeps_holders:
                self._turn_on(sampler)
        elif self._keeps_holders:
            self._holders.advance(read_holders(), HookClock.rate())
            self._keeps_holders = False
            sampler.counting().turn_off()

    @property
    def is_running(self) -> bool:
        return self._here().is_running()

    @property
    def method(self) -> str:
        """How it measures now, or would if it ran."""
        cdef CppSampler* sampler = self._here()
        if self._plan.count and self.reason is None:
            return "count"
        return "look" if sampler.looks() else "knock"

    @property
    def reason(self) -> str | None:
        """Why it does not count, though it was to; None if it does, or was not to."""
        if not self._plan.count:
            return None
        cdef const char* problem = prepare_counting()
        if problem == NULL:
            problem = self._here().counting().problem()
        return None if problem == NULL else problem.decode()

    def held_fraction(self) -> float:
        cdef CppSampler* sampler = self._here()
        cdef double fraction = 0.0
        if not sampler.try_held_fraction(&fraction):
            with nogil:
                fraction = sampler.held_fraction()
        return fraction

    def reset(self) -> None:
        cdef CppSampler* sampler = self._here()
        if not sampler.try_reset():
            with nogil:
                sampler.reset()
        if self._keeps_holders:
            self._holders.resume(read_holders())
        self._holders.clear()

    def waits(self) -> WaitSlice:
        cdef CppSampler* sampler = self._here()
        cdef WaitSlice result = WaitSlice.__new__(WaitSlice)
        with nogil:
            result.view = sampler.waits()
        return result

    def read_stacks(self) -> tuple:
        cdef CppSampler* sampler = self._here()
        cdef StacksReading reading
        with nogil:
            reading = move(sampler.read_stacks())
        return stacks_of(reading)

    def finished_stalls(self, int64_t after) -> list[str]:
        """Each stall that is over and has a higher number, as JSON."""
        cdef shared_ptr[StallWatch] watch = self._here().stalls()
        cdef vector[string] found
        with nogil:
            found = move(watch.get().finished(after))
        return [one.decode("utf-8", "replace") for one in found]

    def wait_for_stall(self, int64_t after) -> bool:
        """Wait until there is such a one; False if `interrupt_stalls` says so."""
        cdef shared_ptr[StallWatch] watch = self._here().stalls()
        cdef bint found
        with nogil:
            found = watch.get().wait_finished(after)
        return found

    def interrupt_stalls(self, bint on) -> None:
        """Let nobody wait for a stall from now on, or let them again."""
        cdef shared_ptr[StallWatch] watch = self._here().stalls()
        with nogil:
            watch.get().interrupt(on)

    def read(self, bint waits=False) -> tuple[
        dict[str, int], bytes, WaitSlice | None, list[tuple[int, int, int, str, int]]
    ]:
        cdef CppSampler* sampler = self._here()
        cdef Reading reading
        cdef WaitSlice taken = None
        if self._keeps_holders:
            sampler.counting().tidy()
            self._holders.advance(read_holders(), HookClock.rate())
        # Who lets go of the GIL beside busy threads does not have it back for long.
        if not sampler.try_read(waits, &reading):
            with nogil:
                reading = move(sampler.read(waits))
        if reading.waits.has_value():
            taken = WaitSlice.__new__(WaitSlice)
            taken.view = move(reading.waits.value())
        counts = counts_of(reading)
        counts["sampler_id"] = sampler.id()
        if reading.counted:
            holders = [
                (
                    one.id.native_id,
                    one.id.serial,
                    one.id.ident,
                    one.name.data().decode("utf-8", "ignore"),  # may be cut within a letter
                    one.held,
                )
                for one in self._holders.all()
            ]
        else:
            holders = [
                (
                    one.id.native_id,
                    one.id.serial,
                    one.id.ident,
                    one.name.data().decode("utf-8", "ignore"),
                    one.ticks,
                )
                for one in reading.holders
            ]
        histogram = PyBytes_FromStringAndSize(
            <const char*>reading.histogram.data(),
            reading.histogram.size() * sizeof(HistogramBucket),
        )
        return counts, histogram, taken, holders


include "_core_trace.pxi"
include "_core_stacks.pxi"
include "_core_stalls.pxi"
