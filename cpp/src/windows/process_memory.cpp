#include <cerrno>

#include "gilknocker/memory.hpp"

namespace gilknocker {

int ProcessMemory::last_error() noexcept { return ENOSYS; }

std::size_t ProcessMemory::read_pieces(const Piece*, std::size_t) const noexcept { return 0; }

bool ProcessMemory::write(std::uint64_t, const void*, std::size_t) const noexcept { return false; }

}  // namespace gilknocker
