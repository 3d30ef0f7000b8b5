# What the core has of C++ for a tracer; included as text in _core.pxd.

cdef extern from "gilknocker/traced_thread.hpp" namespace "gilknocker" nogil:
    cdef cppclass ThreadTotals:
        int64_t held
        int64_t waited
        int64_t lived
        int64_t acquisitions
        int64_t holds
        int64_t waits
        int64_t forced_releases
        int64_t wanted_releases
        int64_t retakes
        int64_t passed_over
        int64_t passed_over_waits
        int64_t longest_hold
        int64_t longest_wait


cdef extern from "gilknocker/trace_book.hpp" namespace "gilknocker" nogil:
    cdef struct TraceEvent:
        pass

    cdef cppclass ThreadReading:
        int64_t native_id
        int64_t serial
        int64_t since
        cbool ours
        cbool alive
        int64_t holding_since
        ThreadTotals totals

    cdef struct ThreadShare:
        int64_t held
        int64_t waited
        int64_t held_by_others
        cbool known

    cdef cppclass TraceReading:
        int64_t epoch
        int64_t start
        int64_t end
        int64_t observed
        ThreadTotals all
        int64_t crowd_held
        ThreadTotals folded
        int64_t folded_threads
        int64_t in_flight
        int64_t wait_total
        int64_t wait_max
        vector[HistogramBucket] waits
        vector[HistogramBucket] holds
        vector[ThreadReading] threads

    cdef cppclass TraceBook:
        TraceBook(size_t events, int64_t now, size_t threads, int64_t least_event,
                  shared_ptr[WaiterCount] waiters) except +
        unsigned long long id() noexcept
        cbool running() noexcept
        int64_t observed() noexcept
        void reset(int64_t now) noexcept
        vector[TraceEvent] events() except +
        @staticmethod
        long value() noexcept


cdef extern from "gilknocker/trace_book.hpp" namespace "gilknocker::TraceBook" nogil:
    cdef size_t kThreads
    cdef unsigned int kFirstOwn
    cdef unsigned int kCrowdSerial
    cdef unsigned int kFoldedSerial


# With the GIL held, all of them: they let go of it where they have to.
cdef extern from "cpython/gil_hooks.hpp" namespace "gilknocker::gil_hooks":
    # Not "except +", which would catch the forced unwind of a thread: they take the GIL.
    const char* prepare()
    void settle()
    void attach(TraceBook& book, const vector[int64_t]& present) except +
    void detach(TraceBook& book) except +
    int64_t trace_now() noexcept
    TraceReading read_book(TraceBook& book) except +
    ThreadShare share_of_this_thread(TraceBook& book) noexcept
    vector[const void*] slots() except +
    const char* prepare_counting()


# With the GIL held, too.
cdef extern from "cpython/hook_counting.hpp" namespace "gilknocker::gil_hooks":
    vector[HolderReading] read_holders() except +
    vector[HolderReading] read_holders_at "gilknocker::gil_hooks::read_holders"(
        uint64_t at) except +
