#include "gilknocker/wait_log.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace gilknocker {

WaitView::WaitView(std::vector<std::shared_ptr<const WaitChunk>> chunks, std::size_t skip,
                   std::int64_t first_sequence)
    : chunks_(std::move(chunks)), skip_(skip), first_sequence_(first_sequence) {
  for (const auto& chunk : chunks_) size_ += chunk->entries.size();
  size_ -= skip_;
}

WaitView WaitView::since(std::int64_t sequence) const {
  const auto unwanted =
      static_cast<std::size_t>(std::max<std::int64_t>(sequence - first_sequence_, 0));
  std::size_t skip = skip_ + std::min(unwanted, size_);
  auto chunk = chunks_.begin();
  while (chunk != chunks_.end() && skip >= (*chunk)->entries.size()) {
    skip -= (*chunk)->entries.size();
    ++chunk;
  }
  return WaitView({chunk, chunks_.end()}, skip,
                  first_sequence_ + static_cast<std::int64_t>(std::min(unwanted, size_)));
}

void WaitView::copy(Nanos* out, Nanos WaitEntry::* field) const noexcept {
  std::size_t skip = skip_;
  for (const auto& chunk : chunks_) {
    for (std::size_t i = skip; i < chunk->entries.size(); ++i) *out++ = chunk->entries[i].*field;
    skip = 0;
  }
}

void WaitView::copy_waits(Nanos* out) const noexcept { copy(out, &WaitEntry::wait); }
void WaitView::copy_times(Nanos* out) const noexcept { copy(out, &WaitEntry::asked); }

bool WaitLog::make_room() noexcept {
  if (!chunks_.empty() && chunks_.back()->entries.size() < WaitChunk::kEntries) return true;
  try {
    auto chunk = std::make_shared<WaitChunk>();
    chunk->entries.reserve(WaitChunk::kEntries);
    chunks_.push_back(std::move(chunk));
  } catch (const std::bad_alloc&) {
    chunks_.clear();
    kept_ = 0;
    return false;
  }
  // A chunk goes when what is left still holds the newest `capacity_`.
  while (kept_ >= capacity_ + WaitChunk::kEntries) {
    kept_ -= chunks_.front()->entries.size();
    chunks_.pop_front();
  }
  return true;
}

void WaitLog::append(WaitEntry entry) noexcept {
  ++appended_;
  if (capacity_ == 0 || !make_room()) return;
  chunks_.back()->entries.push_back(entry);
  ++kept_;
}

void WaitLog::clear() noexcept {
  chunks_.clear();
  appended_ = 0;
  kept_ = 0;
}

WaitView WaitLog::view() const {
  std::vector<std::shared_ptr<const WaitChunk>> chunks(chunks_.begin(), chunks_.end());
  if (!chunks.empty() && chunks.back()->entries.size() < WaitChunk::kEntries) {
    chunks.back() = std::make_shared<const WaitChunk>(*chunks.back());
  }
  const std::size_t skip = kept_ > capacity_ ? kept_ - capacity_ : 0;
  const auto first = appended_ - static_cast<std::int64_t>(kept_ - skip);
  return WaitView(std::move(chunks), 0, first - static_cast<std::int64_t>(skip)).since(first);
}

}  // namespace gilknocker
