// The newest N waits as they were, each with the instant at which it was asked for.
//
// Kept in chunks that are immutable once full and shared with every view that was taken, so that
// a view costs a copy of the last chunk only, and never changes.
//
// Thread safety
//   WaitLog   none; the ledger's mutex guards it.
//   WaitView  immutable: any thread may read it, with no lock, for as long as it likes. The chunks
//             that it shares are never written again: append() writes the last chunk only, and a
//             view holds a copy of that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "gilknocker/live_count.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

struct WaitEntry {
  Nanos asked;
  Nanos wait;
};

struct WaitChunk : private LiveCount<WaitChunk> {
  using LiveCount<WaitChunk>::value;
  static constexpr std::size_t kEntries = 4096;
  std::vector<WaitEntry> entries;
};

class WaitView {
 public:
  WaitView() = default;
  WaitView(std::vector<std::shared_ptr<const WaitChunk>> chunks, std::size_t skip,
           std::int64_t first_sequence);

  std::size_t size() const noexcept { return size_; }
  // The number of the oldest knock in it, counted from 0 at the start of the epoch.
  std::int64_t first_sequence() const noexcept { return first_sequence_; }
  // The same view without the knocks before `sequence`.
  WaitView since(std::int64_t sequence) const;
  // REQUIRES: room for size() values. Oldest first.
  void copy_waits(Nanos* out) const noexcept;
  void copy_times(Nanos* out) const noexcept;

 private:
  void copy(Nanos* out, Nanos WaitEntry::* field) const noexcept;

  std::vector<std::shared_ptr<const WaitChunk>> chunks_;
  std::size_t skip_ = 0;  // of the first chunk
  std::size_t size_ = 0;
  std::int64_t first_sequence_ = 0;
};

class WaitLog {
 public:
  explicit WaitLog(std::size_t capacity) noexcept : capacity_(capacity) {}

  // Without memory for another chunk it forgets the older entries rather than the new one's thread.
  void append(WaitEntry entry) noexcept;
  void clear() noexcept;
  WaitView view() const;

 private:
  bool make_room() noexcept;

  const std::size_t capacity_;
  std::deque<std::shared_ptr<WaitChunk>> chunks_;
  std::int64_t appended_ = 0;
  std::size_t kept_ = 0;  // entries in chunks_
};

}  // namespace gilknocker
