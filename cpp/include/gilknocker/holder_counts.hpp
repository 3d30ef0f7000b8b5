// Which threads the looks found holding the GIL, and how often: the most of an epoch's holders.
//
// Thread safety: none; the ledger's mutex guards it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gilknocker/gil.hpp"

namespace gilknocker {

struct HolderCount {
  HolderId id;  // all zero: threads that found no room
  ThreadName name{};
  bool named = false;
  std::int64_t ticks = 0;  // by weight
};

// Holders whose names are still to be found; as many as one knock may look up.
struct Unnamed {
  static constexpr std::size_t kMost = 4;
  std::array<HolderId, kMost> ids{};
  std::array<ThreadName, kMost> names{};
  std::size_t count = 0;
};

class HolderCounts {
 public:
  static constexpr std::ptrdiff_t kMost = 256;  // and one for all others

  void add(const HolderId& id, std::int64_t weight = 1) noexcept;
  bool some_unnamed() const noexcept { return named_ < size_; }
  Unnamed unnamed() const noexcept;
  void name(const Unnamed& found) noexcept;
  void clear() noexcept;
  std::vector<HolderCount> all() const { return {counts_.begin(), counts_.begin() + size_}; }

 private:
  HolderCount& entry_of(const HolderId& id) noexcept;

  // Room for all of them, for a tick must not fail. The last one seen comes first.
  std::array<HolderCount, kMost + 1> counts_{};
  std::ptrdiff_t size_ = 0;
  std::ptrdiff_t named_ = 0;
};

}  // namespace gilknocker
