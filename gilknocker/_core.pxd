# Mirrors the headers in cpp/include/gilknocker that Python needs, with their exact promises.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.memory cimport shared_ptr, unique_ptr
from libcpp.optional cimport optional
from libcpp.string cimport string
from libcpp.string_view cimport string_view
from libcpp.vector cimport vector


cdef extern from "gilknocker/nanos.hpp" namespace "gilknocker" nogil:
    cdef cppclass Clock:
        int64_t now() noexcept
        int64_t unix_time() noexcept

    cdef cppclass SystemClock(Clock):
        SystemClock() noexcept


cdef extern from "gilknocker/process.hpp" nogil:
    int64_t process_id "gilknocker::process::id"() noexcept


cdef extern from "gilknocker/this_thread.hpp" namespace "gilknocker::this_thread" nogil:
    void sleep_for(int64_t duration) noexcept
    void set_name(const char* name) noexcept
    void mark_ours() noexcept


cdef extern from "gilknocker/gil.hpp" namespace "gilknocker" nogil:
    cdef enum class Look(unsigned char):
        kDisabled
        kFree
        kHeld
        kOwn

    cdef cppclass OwnThreadState:
        void close() noexcept
        @staticmethod
        long value() noexcept


cdef extern from "cpython/gil_layout.h" nogil:
    cdef struct gilknocker_gil:
        pass


cdef extern from "cpython/cpython_gil.hpp" namespace "gilknocker" nogil:
    cdef cppclass Gil:
        cbool can_look() noexcept
        unique_ptr[OwnThreadState] open_state() noexcept

    cdef cppclass CPythonGil(Gil):
        # Not "except +": these two let go of the GIL and take it again, where an interpreter that
        # ends may end the thread by a forced unwind. Nobody may catch that.
        @staticmethod
        CPythonGil* make()
        @staticmethod
        CPythonGil& instance() noexcept
        Look look() noexcept
        const char* problem() noexcept
        void begin_own() except +
        void end_own() noexcept
        @staticmethod
        const char* probe(gilknocker_gil* layout, ptrdiff_t shift)

    cbool interpreter_ends() noexcept
    long fork_generation() noexcept


cdef extern from "gilknocker/thread.hpp" namespace "gilknocker" nogil:
    cdef cppclass Thread:
        void start(void* (*body)(void*) noexcept nogil, void* argument) except +
        void join() noexcept
        void detach() noexcept


cdef extern from "gilknocker/tick_schedule.hpp" namespace "gilknocker" nogil:
    cdef cppclass SchedulePlan:
        int64_t interval
        int64_t ticks_per_burst
        int64_t burst_rest


cdef extern from "gilknocker/wait_histogram.hpp" namespace "gilknocker" nogil:
    cdef struct HistogramBucket:
        int64_t bucket
        int64_t count

    cdef cppclass WaitHistogram:
        @staticmethod
        size_t bucket_of(int64_t wait) noexcept
        @staticmethod
        int64_t lower(size_t bucket) noexcept
        @staticmethod
        int64_t width(size_t bucket) noexcept


cdef extern from "gilknocker/wait_histogram.hpp" namespace "gilknocker::WaitHistogram" nogil:
    cdef size_t kBuckets


cdef extern from "gilknocker/wait_log.hpp" namespace "gilknocker" nogil:
    cdef cppclass WaitChunk:
        @staticmethod
        long value() noexcept

    cdef cppclass WaitView:
        size_t size() noexcept
        int64_t first_sequence() noexcept
        WaitView since(int64_t sequence) except +
        void copy_waits(int64_t* out) noexcept
        void copy_times(int64_t* out) noexcept


cdef extern from "gilknocker/tally.hpp" namespace "gilknocker" nogil:
    cdef cppclass TickTally:
        int64_t ticks
        int64_t held
        int64_t own
        int64_t late
        int64_t disabled
        int64_t missed

    cdef cppclass LookWeights:
        int64_t all
        int64_t enabled
        int64_t held
        int64_t squared

    cdef cppclass KnockTally:
        int64_t knocks
        int64_t missed
        int64_t observed
        int64_t wait_total
        int64_t wait_max


cdef extern from "gilknocker/holder_counts.hpp" namespace "gilknocker" nogil:
    cdef cppclass HolderId:
        unsigned long long serial
        unsigned long long ident
        int64_t native_id

    cdef cppclass ThreadName:
        const char* data() noexcept

    cdef cppclass HolderCount:
        HolderId id
        ThreadName name
        int64_t ticks


cdef extern from "gilknocker/ledger.hpp" namespace "gilknocker" nogil:
    cdef cppclass Reading:
        int64_t epoch
        int64_t start
        int64_t end
        int64_t start_unix
        int64_t end_unix
        int64_t observed
        int64_t held
        int64_t counted
        uint64_t counted_until
        TickTally ticks
        LookWeights looks
        KnockTally knocks
        optional[int64_t] floor
        int64_t in_flight
        int64_t cpu
        cbool slice_active
        vector[HistogramBucket] histogram
        vector[HolderCount] holders
        optional[WaitView] waits

    cdef cppclass Ledger:
        @staticmethod
        long value() noexcept


cdef extern from "gilknocker/worker.hpp" namespace "gilknocker" nogil:
    cdef cppclass Worker:
        @staticmethod
        long value() noexcept


cdef extern from "gilknocker/stack_reader.hpp" namespace "gilknocker" nogil:
    cdef cppclass StackOffsets:
        pass

    cdef cppclass RawFrame:
        unsigned long long code
        int instruction

    cdef cppclass RawStack:
        pass


cdef extern from "gilknocker/frame_table.hpp" namespace "gilknocker" nogil:
    cdef cppclass Frame:
        string function
        string file
        int line


cdef extern from "gilknocker/held_stacks.hpp" namespace "gilknocker" nogil:
    cdef cppclass StackTally:
        int64_t ticks
        int64_t waited
        int64_t native
        int64_t retaken

    cdef cppclass StackCount:
        vector[unsigned int] frames
        HolderId thread
        StackTally tally

    cdef cppclass StacksReading:
        vector[Frame] frames
        vector[StackCount] stacks
        StackTally folded
        StackTally unknown

    cdef cppclass HeldStacks:
        @staticmethod
        long value() noexcept


cdef extern from "gilknocker/waiter_count.hpp" namespace "gilknocker" nogil:
    cdef cppclass WaiterCount:
        int64_t now() noexcept


cdef extern from "gilknocker/held_source.hpp" namespace "gilknocker" nogil:
    cdef cppclass Counting:
        # Not "except +": it may let go of the GIL and take it again, see CPythonGil.make().
        const char* turn_on()
        void turn_off() noexcept
        cbool is_on() noexcept
        const char* problem() noexcept
        void tidy() noexcept


cdef extern from "gilknocker/hook_clock.hpp" namespace "gilknocker" nogil:
    cdef cppclass HookClock:
        @staticmethod
        const char* name() noexcept
        @staticmethod
        double rate() noexcept


cdef extern from "gilknocker/held_account.hpp" namespace "gilknocker" nogil:
    cdef cppclass HolderReading:
        pass


cdef extern from "gilknocker/counted_holders.hpp" namespace "gilknocker" nogil:
    cdef cppclass CountedHolder:
        HolderId id
        ThreadName name
        int64_t held

    cdef cppclass CountedHolders:
        CountedHolders() except +
        void resume(const vector[HolderReading]& now) except +
        void advance(const vector[HolderReading]& now, double rate) except +
        void clear() noexcept
        vector[CountedHolder] all() except +


cdef extern from "gilknocker/stall.hpp" namespace "gilknocker" nogil:
    cdef enum class StallFormat(unsigned char):
        kText
        kJson


cdef extern from "gilknocker/stall_output.hpp" namespace "gilknocker" nogil:
    cdef cppclass Descriptor:
        @staticmethod
        Descriptor of(int number) noexcept


cdef extern from "gilknocker/stall_watch.hpp" namespace "gilknocker" nogil:
    cdef cppclass StallPlan:
        int64_t longer_than
        StallFormat format
        Descriptor output
        const StackOffsets* stacks

    cdef cppclass StallWatch:
        vector[string] finished(int64_t after) except +
        cbool wait_finished(int64_t after) noexcept
        void interrupt(cbool on) noexcept
        @staticmethod
        long value() noexcept


cdef extern from "gilknocker/known_names.hpp" namespace "gilknocker" nogil:
    cdef cppclass KnownNames:
        @staticmethod
        KnownNames& instance() noexcept
        void add(unsigned long long ident, int64_t native_id, string_view name) noexcept
        void begin_anew() noexcept


cdef extern from "gilknocker/surroundings.hpp" namespace "gilknocker" nogil:
    cdef cppclass OwnSurroundings:
        @staticmethod
        void set_collecting(int generation) noexcept


cdef extern from "gilknocker/sampler.hpp" namespace "gilknocker" nogil:
    cdef cppclass SamplerPlan:
        int64_t interval
        int dense_start
        SchedulePlan knocks
        int64_t late_after
        int64_t contended_after
        size_t log_capacity
        const StackOffsets* stacks
        shared_ptr[WaiterCount] waiters
        StallPlan stalls
        cbool count
        double budget
        cbool look

    cdef cppclass CppSampler "gilknocker::Sampler":
        CppSampler(Gil& gil, const Clock& clock, SamplerPlan plan) except +
        void start(unique_ptr[OwnThreadState]& own_state) except +
        void claim_state() except +
        cbool stop(int64_t timeout) except +
        cbool is_running() noexcept
        Reading read(cbool with_waits) except +
        cbool try_read(cbool with_waits, Reading* out) except +
        WaitView waits() except +
        StacksReading read_stacks() except +
        shared_ptr[StallWatch] stalls() noexcept
        void reset() except +
        cbool try_reset() except +
        double held_fraction() except +
        cbool try_held_fraction(double* out) except +
        cbool looks() noexcept
        cbool counts() noexcept
        Counting& counting() noexcept
        int64_t id() noexcept
        @staticmethod
        long value() noexcept


include "_core_cpp_trace.pxi"
include "_core_cpp_stacks.pxi"
