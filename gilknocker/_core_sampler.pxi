# The part of _core.pyx that is about looks and knocks: the sampler, and its waits for numpy.

# How long a sampler that is dropped without stop() waits for a stuck knock, ns.
cdef int64_t DROP_TIMEOUT = 1_000_000_000


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


cdef class Waiters:
    """How many threads wait for the GIL now: a Tracer counts them, a Sampler beside it reads it."""

    cdef shared_ptr[WaiterCount] count

    def __cinit__(self):
        self.count = make_shared[WaiterCount]()

    def now(self) -> int:
        return self.count.get().now()


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
        Waiters waiters=None,
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
        if waiters is not None:
            self._plan.waiters = waiters.count
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
        sampler.claim_state()
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
        cdef unique_ptr[OwnThreadState] own_state
        if self._plan.waiters.get() == NULL:  # else threads of the program wait: nobody has to knock
            own_state = the_gil.open_state()
        try:
            with nogil:
                sampler.start(own_state)
        finally:
            if own_state.get() != NULL:
                own_state.get().close()
            self._settle(sampler)

    def stop(self, int64_t timeout_ns) -> bool:
        cdef CppSampler* sampler = self._here()
        cdef bint ended
        sampler.claim_state()
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
        # Who lets go of the GIL beside busy threads does not have it back for long.
        cdef bint at_once = sampler.try_read(waits, &reading)
        if not at_once:
            with nogil:
                reading = move(sampler.read(waits))
        if self._keeps_holders:
            # To the moment of the rest, that they agree, if nobody has had the GIL since.
            if at_once and reading.counted_until != 0:
                self._holders.advance(read_holders_at(reading.counted_until), HookClock.rate())
            else:
                self._holders.advance(read_holders(), HookClock.rate())
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
