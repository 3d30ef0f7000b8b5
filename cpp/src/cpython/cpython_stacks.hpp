// Stacks of this process's threads: offsets that are proven before anything is read with them.
//
// Thread safety
//   prove()     with the GIL held. Once per process; what it says holds in forked children too.
//   the rest    any thread, after prove() found no problem.
#pragma once

#include <string>
#include <vector>

#include "gilknocker/frame_table.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker::cpython_stacks {

// Null, or why stacks cannot be read here, in a few words. Where they can, the calling thread's own
// stack was compared with what the interpreter says of it.
const char* problem();

// REQUIRES: no problem()
const StackOffsets& offsets() noexcept;

// The first difference between the calling thread's stack as we read it and as the interpreter
// tells it; empty if there is none. With the GIL held. REQUIRES: offsets were found. Throws
// std::bad_alloc.
std::string difference();

}  // namespace gilknocker::cpython_stacks
