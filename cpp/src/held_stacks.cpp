#include "gilknocker/held_stacks.hpp"

#include <new>
#include <utility>

#include "gilknocker/process.hpp"

namespace gilknocker {

HeldStacks::HeldStacks(const Gil& gil, const Clock& clock, const Ledger& ledger, std::int64_t pid,
                       const StackOffsets& offsets, std::shared_ptr<const WaiterCount> waiters)
    : gil_(gil),
      clock_(clock),
      ledger_(ledger),
      waiters_(std::move(waiters)),
      memory_(pid),
      holder_(gil, memory_, offsets),
      proof_(gil),
      begun_(clock.now()),
      table_(memory_, offsets) {}

std::optional<HolderId> HeldStacks::held(Nanos at) {
  StackTally tally{1, waiters_ ? waiters_->now() : ledger_.knock_waits()};
  if (waiters_ && waiters_->retaken()) tally.retaken = tally.waited;
  HolderMark mark;
  const bool found = find(&mark);
  const std::optional<HolderId> thread = mark.state == 0 ? std::nullopt : gil_.identify(raw_.state);
  if (found) tally.native = is_native(mark, thread, at) ? 1 : 0;
  MutexLock lock(mutex_);
  if (at < begun_) return thread;
  if (found) {
    try {
      counts_.add(stack_, thread.value_or(HolderId{}), tally);
      return thread;
    } catch (const std::bad_alloc&) {  // it is unknown then
    }
  }
  unknown_ += tally;
  return thread;
}

// Reads and names the holder's stack, into stack_; again where a code object was freed meanwhile.
bool HeldStacks::find(HolderMark* mark) {
  for (int i = 0; i < kTries; ++i) {
    if (holder_.look(&raw_, mark) != StackLook::kWhole) return false;
    MutexLock lock(mutex_);
    if (table_.size() >= kMostFrames) return false;
    try {
      if (table_.resolve(raw_, &stack_)) return true;
    } catch (const std::bad_alloc&) {
      return false;
    }
  }
  return false;
}

bool HeldStacks::is_native(const HolderMark& mark, const std::optional<HolderId>& thread,
                           Nanos at) noexcept {
  const auto cpu = [&] { return process::cpu_of(thread->native_id); };
  if (thread) return proof_.look(mark, raw_.state, at, cpu);
  proof_.forget();
  return false;
}

StacksReading HeldStacks::read() const {
  StacksReading reading;
  MutexLock lock(mutex_);
  reading.frames.reserve(table_.size());
  for (FrameTable::Id id = 0; id < table_.size(); ++id) reading.frames.push_back(table_[id]);
  reading.stacks = counts_.all();
  reading.folded = counts_.folded();
  reading.unknown = unknown_;
  return reading;
}

void HeldStacks::reset() {
  MutexLock lock(mutex_);
  begun_ = clock_.now();
  counts_.clear();
  table_.clear();
  unknown_ = {};
}

}  // namespace gilknocker
