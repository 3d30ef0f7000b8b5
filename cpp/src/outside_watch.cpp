#include "gilknocker/outside_watch.hpp"

#include <algorithm>

#include "gilknocker/this_thread.hpp"

namespace gilknocker {

OutsideWatch::OutsideWatch(const Memory& memory, const OutsideAddresses& addresses,
                           const StackOffsets& offsets, const Clock& clock,
                           OutsideSchedule schedule, Nanos late_after)
    : clock_(clock),
      gil_(memory, addresses),
      holder_stack_(gil_, memory, offsets),
      schedule_(std::move(schedule)),
      late_after_(late_after),
      raw_(std::make_unique<RawStack>()),
      frames_(memory, offsets) {}

void OutsideWatch::begin() {
  this_thread::ask_for_exact_timers();
  this_thread::ask_for_short_slice();
  MutexLock lock(mutex_);
  sums_.began = sums_.ended = clock_.now();
  schedule_.begin(sums_.began);  // now: the thread may have been let run long after it was made
  cpu_before_ = clock_.thread_cpu();
}

Nanos OutsideWatch::due() const noexcept { return gil_.gone() ? kNever : schedule_.due(); }

void OutsideWatch::wake(Nanos now) {
  HolderMark mark;
  const StackLook look = holder_stack_.look(raw_.get(), &mark);
  const bool late = now - schedule_.due() > late_after_;
  const std::int64_t missed = schedule_.advance_past(now);
  MutexLock lock(mutex_);
  sums_.gone = gil_.gone();
  if (sums_.gone) return;
  sums_.ended = now;
  sums_.cpu = clock_.thread_cpu() - cpu_before_;
  sums_.late += late;
  sums_.missed += missed;
  ++sums_.ticks;
  take(now, look, mark);
}

void OutsideWatch::take(Nanos now, StackLook look, const HolderMark& mark) {
  if (look == StackLook::kFree) {
    sums_.held_since = 0;
    last_ = {};
    return;
  }
  ++sums_.held;
  if (mark != last_) sums_.held_since = now;
  last_ = mark;
  sums_.holder = gil_.identify(raw_->state).value_or(HolderId{});
  threads_[sums_.holder.serial] = sums_.holder;
  Key key{sums_.holder.serial, true, {}};
  const Key unknown{key.serial, false, {}};
  if (look != StackLook::kWhole || !frames_.resolve(*raw_, &key.frames)) {
    ++sums_.unknown;
    key = unknown;
  }
  if (counts_.size() >= kMostStacks && !counts_.contains(key)) key = unknown;
  ++counts_[std::move(key)];
}

OutsideReading OutsideWatch::read() const {
  MutexLock lock(mutex_);
  OutsideReading reading = sums_;
  reading.stacks.reserve(counts_.size());
  for (const auto& [key, ticks] : counts_) {
    OutsideStack stack{threads_.at(key.serial), key.known, {}, ticks};
    for (const FrameTable::Id id : key.frames) stack.frames.push_back(frames_[id]);
    reading.stacks.push_back(std::move(stack));
  }
  std::stable_sort(reading.stacks.begin(), reading.stacks.end(),
                   [](const OutsideStack& a, const OutsideStack& b) { return a.ticks > b.ticks; });
  return reading;
}

}  // namespace gilknocker
