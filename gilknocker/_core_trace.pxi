# The part of _core.pyx that is about the tracer.

# So many threads can be told apart at a time.
MOST_THREADS = <int>kThreads
# Serials of the meter's own threads begin there; those of what stands for many threads.
FIRST_OWN_SERIAL = <int>kFirstOwn
CROWD_SERIAL = <int>kCrowdSerial
FOLDED_SERIAL = <int>kFoldedSerial


def prepare_tracing() -> str | None:
    """Call once, before a Tracer: None where the GIL can be traced, else why not."""
    cdef const char* problem = prepare()
    return None if problem == NULL else problem.decode()


cdef extern from "Python.h":
    ctypedef struct PyThreadState:
        pass
    PyThreadState* PyThreadState_Get()
    unsigned long long PyThreadState_GetID(PyThreadState* state)


def thread_serial() -> int:
    """The calling thread's serial among holders: of its thread state, which no other gets."""
    return PyThreadState_GetID(PyThreadState_Get()) + 1  # holders have them from 1


def trace_ns() -> int:
    """The clock of all traces: within about a microsecond of time.monotonic_ns()."""
    return trace_now()


def trace_slots() -> list[int]:
    """The addresses of the interpreter's pointers that are redirected now."""
    return [<size_t>address for address in slots()]


cdef class TraceEvents:
    """Intervals of a trace, read-only bytes under the buffer protocol: see ``EVENT_DTYPE``."""

    cdef vector[TraceEvent] values

    def __getbuffer__(self, Py_buffer* view, int flags):
        PyBuffer_FillInfo(view, self, self.values.data() if self.values.size() else <void*>view,
                          self.values.size() * sizeof(TraceEvent), 1, flags)


cdef bytes bytes_of(const vector[HistogramBucket]& buckets):
    return PyBytes_FromStringAndSize(
        <const char*>buckets.data(), buckets.size() * sizeof(HistogramBucket))


cdef dict totals_of(const ThreadTotals& totals):
    return {
        "held_ns": totals.held,
        "waited_ns": totals.waited,
        "lifetime_ns": totals.lived,
        "acquisitions": totals.acquisitions,
        "holds": totals.holds,
        "waits": totals.waits,
        "forced_releases": totals.forced_releases,
        "wanted_releases": totals.wanted_releases,
        "retakes": totals.retakes,
        "passed_over": totals.passed_over,
        "passed_over_ns": totals.passed_over_waits,
        "longest_hold_ns": totals.longest_hold,
        "longest_wait_ns": totals.longest_wait,
    }


cdef tuple row_of(const ThreadReading& one):
    return (one.native_id, one.serial, one.since, bool(one.ours), bool(one.alive),
            one.holding_since, one.totals.held)


cdef class Tracer:
    """A book under the hooks. Its numbers are read with the GIL held, which keeps them still."""

    cdef TraceBook* _book
    cdef size_t _events
    cdef int64_t _least_event
    cdef Waiters _waiters
    cdef long _generation
    cdef int64_t _start_unix
    cdef object __weakref__

    def __cinit__(self, size_t events, int64_t least_event_ns=0, Waiters waiters=None):
        self._waiters = Waiters() if waiters is None else waiters
        self._events = events
        self._least_event = least_event_ns
        self._make()

    cdef void _make(self) except *:
        self._book = new TraceBook(
            self._events, trace_now(), kThreads, self._least_event, self._waiters.count)
        self._start_unix = the_clock.unix_time()
        self._generation = fork_generation()

    cdef TraceBook* _here(self) except NULL:
        """The book of this process: in a forked child a new one, the parent's is leaked."""
        if self._generation != fork_generation():
            self._make()
        return self._book

    def __dealloc__(self):
        cdef TraceBook* book = self._book
        if book == NULL or self._generation != fork_generation():
            return
        if book.running():
            detach(book[0])
            settle()
        with nogil:
            del book

    def start(self, present: list[int]) -> None:
        cdef TraceBook* book = self._here()
        if book.running():
            return
        if book.observed() == 0:
            self._start_unix = the_clock.unix_time()
        attach(book[0], present)

    def stop(self) -> None:
        cdef TraceBook* book = self._here()
        if book.running():
            detach(book[0])
            settle()

    @property
    def is_running(self) -> bool:
        return self._here().running()

    def reset(self) -> None:
        self._here().reset(trace_now())
        self._start_unix = the_clock.unix_time()

    def events(self) -> TraceEvents:
        """The newest intervals."""
        cdef TraceEvents result = TraceEvents.__new__(TraceEvents)
        result.values = move(self._here().events())
        return result

    def share(self) -> tuple[int, int, int] | None:
        """Of the calling thread: held, waited, held by others; None if it has no numbers."""
        cdef ThreadShare share = share_of_this_thread(self._here()[0])
        return (share.held, share.waited, share.held_by_others) if share.known else None

    def read(self, bint events=False, bint times=False) -> dict[str, Any]:
        """All numbers of one instant; of that instant the newest intervals, and what each thread did.

        Of each thread: native id, serial, since when it is known, whether it is ours, whether it is
        there, since when it holds the GIL (0: it does not), how long it held it. A plain tuple, for
        there may be hundreds, and the GIL is held meanwhile.
        """
        cdef TraceBook* book = self._here()
        cdef TraceReading reading = move(read_book(book[0]))
        # Before any Python code, which might let other threads run.
        taken = self.events() if events else None
        return {
            "events": taken,
            "sampler_id": book.id(),
            "epoch": reading.epoch,
            "pid": process_id(),
            "start_ns": reading.start,
            "end_ns": reading.end,
            "start_unix_ns": self._start_unix,
            "end_unix_ns": self._start_unix + (reading.end - reading.start),
            "observed_ns": reading.observed,
            "crowd_held_ns": reading.crowd_held,
            "folded": totals_of(reading.folded),
            "folded_threads": reading.folded_threads,
            "in_flight_ns": reading.in_flight,
            "wait_total_ns": reading.wait_total,
            "wait_max_ns": reading.wait_max,
            "wait_histogram": bytes_of(reading.waits),
            "hold_histogram": bytes_of(reading.holds),
            "all": totals_of(reading.all),
            "threads": [row_of(one) for one in reading.threads],
            "times": [totals_of(one.totals) for one in reading.threads] if times else None,
        }
