// What the meter asks of the operating system about its process.
//
// Thread safety: any thread may call anything.
#pragma once

#include <cstdint>
#include <optional>

#include "gilknocker/nanos.hpp"

namespace gilknocker::process {

std::int64_t id() noexcept;

// The CPU time that one of its threads has used, by the system's number of it; nothing where it is
// gone, or the system does not tell.
std::optional<Nanos> cpu_of(std::int64_t thread) noexcept;

// From now on called at every fork, also one that Python does not know of, by the thread that
// forks: before it, and after it in the parent, or in the child before any other thread exists
// there.
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept;

}  // namespace gilknocker::process
