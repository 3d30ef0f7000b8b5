// The process-wide set of our knockers' thread states: a look that finds the GIL held by one of
// them has seen us, not the program.
//
// Thread safety: any thread may call anything; no locks, so that a fork can leave none locked.
//   slots      written by add() and remove() through compare-and-swap, read by contains(). Relaxed
//              suffices: an address is only compared, never followed, and a tick that races an
//              add() or remove() is at most one tick wrong.
//   next       published with release and read with acquire, because the block's slots must be
//              seen initialised. Blocks are never freed: a reader may be anywhere.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace gilknocker {

class OwnHolders {
 public:
  OwnHolders() = default;
  OwnHolders(const OwnHolders&) = delete;
  OwnHolders& operator=(const OwnHolders&) = delete;
  ~OwnHolders();  // REQUIRES: no reader left

  void add(const void* holder);  // throws std::bad_alloc
  void remove(const void* holder) noexcept;
  bool contains(const void* holder) const noexcept;
  bool empty() const noexcept;
  // In a forked child: the knockers of the parent are not here, and their addresses may come back
  // as thread states of the program.
  void clear() noexcept;

 private:
  static constexpr std::size_t kSlots = 32;
  struct Block {
    std::array<std::atomic<const void*>, kSlots> slots{};
    std::atomic<Block*> next{nullptr};
  };
  static bool replace(Block& block, const void* old_value, const void* new_value) noexcept;

  Block first_;
};

}  // namespace gilknocker
