#include "gilknocker/holder_counts.hpp"

#include <algorithm>
#include <utility>

namespace gilknocker {

void HolderCounts::add(const HolderId& id, std::int64_t weight) noexcept {
  entry_of(id).ticks += weight;
}

HolderCount& HolderCounts::entry_of(const HolderId& id) noexcept {
  HolderCount& front = counts_.front();
  auto* const end = counts_.data() + size_;
  auto* const known =
      std::find_if(counts_.data(), end, [&id](const HolderCount& one) { return one.id == id; });
  if (known != end) {
    std::swap(*known, front);
    return front;
  }
  const bool is_the_rest = id == HolderId{};
  if (size_ >= kMost && !is_the_rest) return entry_of(HolderId{});
  *end = {};
  end->id = id;
  end->named = is_the_rest;
  named_ += is_the_rest;
  ++size_;
  std::swap(*end, front);
  return front;
}

Unnamed HolderCounts::unnamed() const noexcept {
  Unnamed found;
  if (!some_unnamed()) return found;
  for (std::ptrdiff_t i = 0; i < size_ && found.count < Unnamed::kMost; ++i) {
    const HolderCount& one = counts_[static_cast<std::size_t>(i)];
    if (!one.named) found.ids[found.count++] = one.id;
  }
  return found;
}

void HolderCounts::name(const Unnamed& found) noexcept {
  for (std::size_t i = 0; i < found.count; ++i) {
    for (HolderCount& one : counts_) {
      if (one.named || one.id != found.ids[i]) continue;
      one.name = found.names[i];
      one.named = true;
      ++named_;
    }
  }
}

void HolderCounts::clear() noexcept {
  counts_ = {};
  size_ = named_ = 0;
}

}  // namespace gilknocker
