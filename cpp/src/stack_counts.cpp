#include "gilknocker/stack_counts.hpp"

#include <algorithm>

namespace gilknocker {

std::size_t StackCounts::Hash::operator()(const Key& key) const noexcept {
  std::size_t value = key.thread.serial;
  for (const FrameTable::Id id : key.frames) value = value * 0x9E37'79B9'7F4A'7C15 + id;
  return value;
}

void StackCounts::add(const FrameTable::Stack& frames, const HolderId& thread,
                      const StackTally& tally) {
  if (last_ == nullptr || last_->first.thread != thread || last_->first.frames != frames) {
    Key key{frames, thread};
    auto known = counts_.find(key);
    if (known == counts_.end()) {
      if (counts_.size() >= kMost) fold();
      known = counts_.emplace(std::move(key), StackTally{}).first;
    }
    last_ = &*known;
  }
  last_->second += tally;
}

// Gives up the less seen half, so that the next time is far.
void StackCounts::fold() {
  last_ = nullptr;
  std::vector<std::int64_t> ticks;
  ticks.reserve(counts_.size());
  for (const auto& [key, tally] : counts_) ticks.push_back(tally.ticks);
  const auto middle = ticks.begin() + static_cast<std::ptrdiff_t>(ticks.size() / 2);
  std::nth_element(ticks.begin(), middle, ticks.end());
  const std::int64_t bound = *middle;
  std::size_t equal = static_cast<std::size_t>(std::count(ticks.begin(), middle, bound));
  for (auto entry = counts_.begin(); entry != counts_.end();) {
    const bool goes = entry->second.ticks < bound || (entry->second.ticks == bound && equal != 0);
    if (goes && entry->second.ticks == bound) --equal;
    if (goes) folded_ += entry->second;
    entry = goes ? counts_.erase(entry) : std::next(entry);
  }
}

void StackCounts::clear() noexcept {
  last_ = nullptr;
  counts_.clear();
  folded_ = {};
}

std::vector<StackCount> StackCounts::all() const {
  std::vector<StackCount> all;
  all.reserve(counts_.size());
  for (const auto& [key, tally] : counts_) all.push_back({key.frames, key.thread, tally});
  return all;
}

}  // namespace gilknocker
