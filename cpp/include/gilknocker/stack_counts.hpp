// How often each stack was seen: bounded, however many different ones there are.
//
// Thread safety: none; who owns it guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "gilknocker/frame_table.hpp"
#include "gilknocker/gil.hpp"

namespace gilknocker {

struct StackTally {
  std::int64_t ticks = 0;    // looks that saw it
  std::int64_t waited = 0;   // how many waited at each, added up: threads, or one knock of ours
  std::int64_t native = 0;   // of those, at which it did not give way though it was long asked to
  std::int64_t retaken = 0;  // of waited: at looks at a hold that began by taking the GIL back

  StackTally& operator+=(const StackTally& other) noexcept {
    ticks += other.ticks;
    waited += other.waited;
    native += other.native;
    retaken += other.retaken;
    return *this;
  }
};

struct StackCount {
  FrameTable::Stack frames;  // the oldest first
  HolderId thread;           // all zero where it is not known
  StackTally tally;
};

class StackCounts {
 public:
  static constexpr std::size_t kMost = 8192;

  // Throws std::bad_alloc, with nothing changed.
  void add(const FrameTable::Stack& frames, const HolderId& thread, const StackTally& tally);
  void clear() noexcept;

  std::vector<StackCount> all() const;
  // Of those that were seen least, and made room for others.
  const StackTally& folded() const noexcept { return folded_; }

 private:
  struct Key {
    FrameTable::Stack frames;
    HolderId thread;

    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };

  void fold();

  using Counts = std::unordered_map<Key, StackTally, Hash>;

  Counts counts_;
  Counts::value_type* last_ = nullptr;  // that was added to: the next is often the same
  StackTally folded_;
};

}  // namespace gilknocker
