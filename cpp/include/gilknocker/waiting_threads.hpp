// Which threads of this process sleep in a lock of a given place, as far as the kernel tells.
//
// Thread safety: any thread may call anything. Nothing is allocated, no lock is taken.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "gilknocker/gil.hpp"

namespace gilknocker::process {

// What the system calls a thread, empty if it does not tell.
ThreadName name_of(std::int64_t thread) noexcept;

// The numbers of threads that sleep in a futex of low <= address < high go to `found`, as many as
// there is room for. How many there are, or nothing where the system does not tell.
std::optional<std::size_t> threads_waiting_at(std::uint64_t low, std::uint64_t high,
                                              std::span<std::int64_t> found) noexcept;

}  // namespace gilknocker::process
