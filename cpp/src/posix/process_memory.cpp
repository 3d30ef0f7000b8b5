#include <array>
#include <cassert>
#include <cerrno>

#include "gilknocker/memory.hpp"

#if defined(__linux__)
#include <sys/uio.h>
#endif

namespace gilknocker {
namespace {

thread_local int error_of_last = 0;

}  // namespace

int ProcessMemory::last_error() noexcept { return error_of_last; }

#if defined(__linux__)

std::size_t ProcessMemory::read_pieces(const Piece* pieces, std::size_t count) const noexcept {
  assert(count <= kMostPieces);
  std::array<iovec, kMostPieces> here{};
  std::array<iovec, kMostPieces> there{};
  for (std::size_t i = 0; i < count; ++i) {
    here[i] = {pieces[i].to, pieces[i].size};
    there[i] = {reinterpret_cast<void*>(static_cast<std::uintptr_t>(pieces[i].address)),
                pieces[i].size};
  }
  const int before = errno;
  const ssize_t moved =
      process_vm_readv(static_cast<pid_t>(pid_), here.data(), count, there.data(), count, 0);
  error_of_last = moved < 0 ? errno : 0;
  errno = before;
  std::size_t left = moved < 0 ? 0 : static_cast<std::size_t>(moved);
  std::size_t whole = 0;
  while (whole < count && left >= pieces[whole].size) left -= pieces[whole++].size;
  return whole;
}

bool ProcessMemory::write(std::uint64_t address, const void* from,
                          std::size_t size) const noexcept {
  const iovec here{const_cast<void*>(from), size};  // which is only read
  const iovec there{reinterpret_cast<void*>(static_cast<std::uintptr_t>(address)), size};
  const int before = errno;
  const ssize_t moved = process_vm_writev(static_cast<pid_t>(pid_), &here, 1, &there, 1, 0);
  error_of_last = moved < 0 ? errno : 0;
  errno = before;
  return moved >= 0 && static_cast<std::size_t>(moved) == size;
}

#else

std::size_t ProcessMemory::read_pieces(const Piece*, std::size_t) const noexcept {
  error_of_last = ENOSYS;
  return 0;
}

bool ProcessMemory::write(std::uint64_t, const void*, std::size_t) const noexcept {
  error_of_last = ENOSYS;
  return false;
}

#endif

}  // namespace gilknocker
