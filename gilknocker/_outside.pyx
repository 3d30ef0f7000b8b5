# cython: language_level=3, freethreading_compatible=True
"""Another process's memory, and a watch over its GIL, as Python sees them: thin, without policy."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport make_unique, unique_ptr
from libcpp.string cimport string
from libcpp.vector cimport vector


cdef extern from "gilknocker/nanos.hpp" namespace "gilknocker" nogil:
    cdef cppclass Clock:
        int64_t now() noexcept

    cdef cppclass SystemClock(Clock):
        SystemClock() noexcept


cdef extern from "gilknocker/memory.hpp" namespace "gilknocker" nogil:
    cdef cppclass Memory:
        cbool read(uint64_t address, void* to, size_t size) noexcept

    cdef cppclass ProcessMemory(Memory):
        ProcessMemory(int64_t pid) noexcept
        cbool write(uint64_t address, const void* source, size_t size) noexcept
        @staticmethod
        int last_error() noexcept


cdef extern from "gilknocker/outside_pause.hpp" namespace "gilknocker" nogil:
    cdef cppclass PausedThread:
        PausedThread(int64_t thread_id, int64_t patience) except +
        int error() noexcept
        void let_go() noexcept


cdef extern from "cpython/outside_layout.h" nogil:
    cdef struct gilknocker_layout_field:
        const char* name
        uint64_t value
    const char* gilknocker_own_layout(gilknocker_layout_field* fields, size_t room, size_t* count)


cdef extern from "gilknocker/outside_target.hpp" namespace "gilknocker" nogil:
    cdef cppclass Frame:
        string function
        string file
        int line

    cdef cppclass HolderId:
        uint64_t serial
        uint64_t ident
        int64_t native_id

    cdef cppclass OutsideStack:
        HolderId thread
        cbool known
        vector[Frame] frames
        int64_t ticks

    cdef cppclass OutsideReading:
        int64_t began
        int64_t ended
        int64_t cpu
        int64_t ticks
        int64_t held
        int64_t late
        int64_t missed
        int64_t unknown
        cbool gone
        int64_t held_since
        HolderId holder
        vector[OutsideStack] stacks

    cdef cppclass OutsideLayout:
        OutsideLayout() except +
        cbool set(const string& name, uint64_t value) except +

    cdef cppclass OutsideTarget:
        OutsideTarget(int64_t pid, const OutsideLayout& layout, const Clock& clock) except +
        cbool stack(uint64_t thread_state, vector[Frame]* frames) except +
        void start(int64_t interval, uint64_t seed) except +
        void stop() noexcept
        cbool gone() noexcept
        OutsideReading read() except +


cdef SystemClock* the_clock = new SystemClock()


def read(pid: int, address: int, size: int) -> bytes:
    """Return `size` bytes of a process's memory.

    Raises
    ------
    OSError
        If they cannot be read.
    """
    cdef int64_t number = pid
    cdef uint64_t where = address
    cdef size_t length = size
    cdef unique_ptr[ProcessMemory] memory = make_unique[ProcessMemory](number)
    cdef bytes buffer = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>length)
    # Nobody else has it yet: it may be written.
    if length and not memory.get().read(where, <char*>buffer, length):
        error = ProcessMemory.last_error() or 14  # EFAULT: a part of it was read
        raise OSError(error, "memory of another process")
    return buffer


def write(pid: int, address: int, content: bytes) -> None:
    """Put `content` into a process's memory.

    Raises
    ------
    OSError
        If that cannot be done.
    """
    cdef int64_t number = pid
    cdef uint64_t where = address
    cdef unique_ptr[ProcessMemory] memory = make_unique[ProcessMemory](number)
    if content and not memory.get().write(where, <const char*>content, <size_t>len(content)):
        error = ProcessMemory.last_error() or 14  # EFAULT: a part of it was written
        raise OSError(error, "memory of another process")


def own_layout() -> dict:
    """Return where the Python that runs this keeps what is read, in bytes, by name.

    Raises
    ------
    RuntimeError
        Where nothing is known of it.
    """
    cdef gilknocker_layout_field fields[64]
    cdef size_t count = 0
    cdef const char* problem = gilknocker_own_layout(fields, 64, &count)
    if problem != NULL:
        raise RuntimeError(problem.decode())
    return {fields[i].name.decode(): fields[i].value for i in range(count)}


cdef class Pause:
    """A thread of another process that stands still: ``Pause(thread_id, patience_ns)``.

    Raises
    ------
    OSError
        If it may not be stopped, is traced by somebody else, has ended, or did not stop in time.
    """

    cdef unique_ptr[PausedThread] thread

    def __cinit__(self, thread_id: int, patience_ns: int) -> None:
        cdef int64_t number = thread_id, patience = patience_ns
        cdef int error
        with nogil:  # it waits for a thread of ours, also to join it
            self.thread.reset(new PausedThread(number, patience))
            error = self.thread.get().error()
            if error != 0:
                self.thread.get().let_go()
        if error != 0:
            raise OSError(error, "a thread of another process")

    def __enter__(self) -> Pause:
        return self

    def __exit__(self, *exc) -> None:
        with nogil:
            self.thread.get().let_go()


cdef list _frames(vector[Frame]& frames):
    return [
        (
            frame.function.decode("utf-8", "backslashreplace"),
            frame.file.decode("utf-8", "backslashreplace"),
            frame.line,
        )
        for frame in frames
    ]


cdef class Target:
    """A process that is watched: ``Target(pid, layout)`` with a layout of names and numbers.

    The layout's ``gil`` is the address of the GIL's state there; the other names are those of
    `own_layout`.
    """

    cdef unique_ptr[OutsideTarget] target

    def __cinit__(self, pid: int, layout: dict) -> None:
        cdef OutsideLayout native
        for name, value in layout.items():
            if not native.set(name.encode(), value):
                raise KeyError(name)
        self.target.reset(new OutsideTarget(pid, native, the_clock[0]))

    def __dealloc__(self) -> None:
        if self.target.get() != NULL:
            with nogil:
                self.target.get().stop()

    def stack(self, thread_state: int) -> list | None:
        """Return a thread's frames, the oldest first; None where they could not be read."""
        cdef vector[Frame] frames
        if not self.target.get().stack(thread_state, &frames):
            return None
        return _frames(frames)

    def start(self, interval_ns: int, seed: int) -> None:
        """Begin to look, in a thread of its own; once."""
        self.target.get().start(interval_ns, seed)

    def stop(self) -> None:
        """End it. What was counted stays."""
        with nogil:
            self.target.get().stop()

    def gone(self) -> bool:
        """Whether the process was found to have ended."""
        return self.target.get().gone()

    def read(self) -> dict:
        """Return what was counted."""
        cdef OutsideReading reading
        with nogil:
            reading = self.target.get().read()
        return {
            "began_ns": reading.began,
            "ended_ns": reading.ended,
            "cpu_ns": reading.cpu,
            "ticks": reading.ticks,
            "ticks_held": reading.held,
            "ticks_late": reading.late,
            "ticks_missed": reading.missed,
            "ticks_unknown": reading.unknown,
            "gone": reading.gone,
            "held_since_ns": reading.held_since,
            "holder": (reading.holder.serial, reading.holder.native_id),
            "stacks": [
                (
                    stack.thread.serial,
                    stack.thread.ident,
                    stack.thread.native_id,
                    tuple(_frames(stack.frames)) if stack.known else None,
                    stack.ticks,
                )
                for stack in reading.stacks
            ],
        }
