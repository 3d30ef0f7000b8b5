// Memory that may not be there: every read is allowed to fail, and no address is ever followed.
//
// Ours through the kernel, which answers an error where a load would crash; another process's,
// where its rights allow it; in the C++ tests a fake.
//
// Thread safety: any thread may read at any time. What it reads may change meanwhile: a read of
// more than a word can be torn, and whoever believes it says why.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gilknocker {

struct Piece {
  std::uint64_t address = 0;
  void* to = nullptr;
  std::size_t size = 0;
};

class Memory {
 public:
  static constexpr std::size_t kMostPieces = 64;  // of one call

  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  virtual ~Memory() = default;

  // How many pieces were read whole, in their order, before the first that could not be. Nothing
  // else is said of that one's contents. REQUIRES: count <= kMostPieces
  virtual std::size_t read_pieces(const Piece* pieces, std::size_t count) const noexcept = 0;

  bool read(std::uint64_t address, void* to, std::size_t size) const noexcept {
    const Piece piece{address, to, size};
    return read_pieces(&piece, 1) == 1;
  }
  template <typename T>
  bool read(std::uint64_t address, T* to) const noexcept {
    return read(address, to, sizeof *to);
  }
};

// Of a process by its number, our own among them, in one system call: process_vm_readv(2). Where
// the system has none, or forbids it, every read fails.
class ProcessMemory final : public Memory {
 public:
  explicit ProcessMemory(std::int64_t pid) noexcept : pid_(pid) {}

  std::size_t read_pieces(const Piece* pieces, std::size_t count) const noexcept override;
  // Whether all of it was written. What else writes there is not kept from it.
  bool write(std::uint64_t address, const void* from, std::size_t size) const noexcept;
  // The errno of the call that moved nothing last, on this thread; 0 after one that did.
  static int last_error() noexcept;

 private:
  [[maybe_unused]] const std::int64_t pid_;  // unused where the system has no call
};

}  // namespace gilknocker
