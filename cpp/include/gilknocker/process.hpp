// What the meter asks of the operating system about its process.
//
// Thread safety: any thread may call anything.
#pragma once

#include <cstdint>

namespace gilknocker::process {

std::int64_t id() noexcept;

// From now on `act` is called in every child of a fork, before any other thread exists there.
void at_fork_in_child(void (*act)()) noexcept;

}  // namespace gilknocker::process
