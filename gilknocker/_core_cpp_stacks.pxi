# What the core has of C++ to read a stack and name its frames; included as text in _core.pxd.

cdef extern from "gilknocker/memory.hpp" namespace "gilknocker" nogil:
    cdef cppclass ProcessMemory:
        ProcessMemory(int64_t pid) noexcept


cdef extern from "gilknocker/code_reader.hpp" namespace "gilknocker" nogil:
    cdef cppclass Bytes "std::array<char, 1>":
        const char* data() noexcept

    cdef cppclass Text "gilknocker::Text<1>":
        Bytes bytes
        size_t size

    cdef cppclass FrameName:
        Text function
        Text file
        int line

    cdef cppclass CodeIdentity:
        pass

    cdef cppclass CodeReader:
        CodeReader(const ProcessMemory& memory, const StackOffsets& offsets)
        cbool name(const RawFrame& frame, FrameName* name, CodeIdentity* identity) noexcept


cdef extern from "gilknocker/holder_stack.hpp" namespace "gilknocker" nogil:
    cdef cppclass HolderMark:
        pass

    cdef enum class StackLook(unsigned char):
        kFree
        kWhole
        kUnreadable

    cdef cppclass HolderStack:
        HolderStack(const Gil& gil, const ProcessMemory& memory, const StackOffsets& offsets)
        StackLook look(RawStack* stack, HolderMark* mark) noexcept


cdef extern from "gilknocker/frame_table.hpp" namespace "gilknocker" nogil:
    cdef cppclass FrameTable:
        FrameTable(const ProcessMemory& memory, const StackOffsets& offsets)
        cbool resolve(const RawStack& raw, vector[unsigned int]* stack) except +
        const Frame& operator[](unsigned int id)
        size_t size() noexcept


# With the GIL held, all of them.
cdef extern from "cpython/cpython_stacks.hpp" namespace "gilknocker::cpython_stacks":
    const char* stacks_problem "gilknocker::cpython_stacks::problem"() except +
    const StackOffsets& stacks_offsets "gilknocker::cpython_stacks::offsets"() noexcept
    string stacks_difference "gilknocker::cpython_stacks::difference"() except +
