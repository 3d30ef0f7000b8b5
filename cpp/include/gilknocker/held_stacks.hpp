// The stacks of whoever held the GIL at the watcher's looks, with their names.
//
// Thread safety: held() is called by the watcher's thread, which alone uses what is not guarded;
// read() and reset() by any. The mutex is held for the naming of one stack, or a copy of all;
// nobody holds the GIL while waiting for it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "gilknocker/frame_table.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/holder_stack.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/live_count.hpp"
#include "gilknocker/memory.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/native_proof.hpp"
#include "gilknocker/stack_counts.hpp"
#include "gilknocker/stack_sink.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/waiter_count.hpp"

namespace gilknocker {

struct StacksReading {
  std::vector<Frame> frames;  // by number
  std::vector<StackCount> stacks;
  StackTally folded;   // of stacks that were seen least
  StackTally unknown;  // looks that found the GIL held and could not tell by which stack
};

class HeldStacks final : public StackSink, private LiveCount<HeldStacks> {
 public:
  using LiveCount<HeldStacks>::value;

  // `waiters` says how many wait; null: whether a knock waits, which `ledger` says. That must live
  // as long as the watcher looks.
  HeldStacks(const Gil& gil, const Clock& clock, const Ledger& ledger, std::int64_t pid,
             const StackOffsets& offsets, std::shared_ptr<const WaiterCount> waiters = nullptr);

  std::optional<HolderId> held(Nanos at) override GILKNOCKER_EXCLUDES(mutex_);
  StacksReading read() const GILKNOCKER_EXCLUDES(mutex_);
  void reset() GILKNOCKER_EXCLUDES(mutex_);

 private:
  // More places in a program than anybody reads of; those that come later have no names.
  static constexpr std::size_t kMostFrames = std::size_t{1} << 16;

  static constexpr int kTries = 3;

  bool find(HolderMark* mark) GILKNOCKER_EXCLUDES(mutex_);
  bool is_native(const HolderMark& mark, const std::optional<HolderId>& thread, Nanos at) noexcept;

  const Gil& gil_;
  const Clock& clock_;
  const Ledger& ledger_;
  const std::shared_ptr<const WaiterCount> waiters_;
  const ProcessMemory memory_;
  HolderStack holder_;
  RawStack raw_;
  FrameTable::Stack stack_;
  NativeProof proof_;

  mutable Mutex mutex_;
  Nanos begun_ GILKNOCKER_GUARDED_BY(mutex_) = 0;  // of the epoch: an earlier look is not of it
  FrameTable table_ GILKNOCKER_GUARDED_BY(mutex_);
  StackCounts counts_ GILKNOCKER_GUARDED_BY(mutex_);
  StackTally unknown_ GILKNOCKER_GUARDED_BY(mutex_);
};

}  // namespace gilknocker
