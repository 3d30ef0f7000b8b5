// Looks at another process's GIL at each tick, with the holder's stack.
//
// Thread safety
//   begin(), due(), wake()  the worker's thread.
//   read()                  any thread.
//   mutex_                  guards what is counted: written at each tick, read by read(). The
//                           frames' names are learnt under it, too.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "gilknocker/frame_table.hpp"
#include "gilknocker/holder_stack.hpp"
#include "gilknocker/outside_gil.hpp"
#include "gilknocker/outside_schedule.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/task.hpp"

namespace gilknocker {

// A stack that looks found, and whose; frames the oldest first.
struct OutsideStack {
  HolderId thread;
  bool known = false;  // else it could not be read, or there were too many different ones
  std::vector<Frame> frames;
  std::int64_t ticks = 0;
};

struct OutsideReading {
  Nanos began = 0;
  Nanos ended = 0;
  Nanos cpu = 0;
  std::int64_t ticks = 0;
  std::int64_t held = 0;
  std::int64_t late = 0;
  std::int64_t missed = 0;
  std::int64_t unknown = 0;  // of the held: those whose stack could not be read
  bool gone = false;
  // Of the holder of the last look: since when it has held the GIL at least; 0 if nobody does.
  Nanos held_since = 0;
  HolderId holder;
  std::vector<OutsideStack> stacks;  // the most often found first
};

class OutsideWatch final : public Task {
 public:
  // The most stacks that are kept apart; of others only the thread is known.
  static constexpr std::size_t kMostStacks = 50'000;

  OutsideWatch(const Memory& memory, const OutsideAddresses& addresses, const StackOffsets& offsets,
               const Clock& clock, OutsideSchedule schedule, Nanos late_after);

  void begin() override;
  Nanos due() const noexcept override;
  void wake(Nanos now) override;

  bool gone() const noexcept { return gil_.gone(); }  // any thread
  OutsideReading read() const GILKNOCKER_EXCLUDES(mutex_);

 private:
  struct Key {
    std::uint64_t serial;  // the thread's
    bool known;
    FrameTable::Stack frames;

    auto operator<=>(const Key&) const = default;
  };

  void take(Nanos now, StackLook look, const HolderMark& mark) GILKNOCKER_REQUIRES(mutex_);

  const Clock& clock_;
  const OutsideGil gil_;
  HolderStack holder_stack_;
  OutsideSchedule schedule_;
  const Nanos late_after_;
  const std::unique_ptr<RawStack> raw_;
  Nanos cpu_before_ = 0;  // what the thread had used when it began
  mutable Mutex mutex_;
  FrameTable frames_ GILKNOCKER_GUARDED_BY(mutex_);
  std::map<Key, std::int64_t> counts_ GILKNOCKER_GUARDED_BY(mutex_);
  std::map<std::uint64_t, HolderId> threads_ GILKNOCKER_GUARDED_BY(mutex_);
  OutsideReading sums_ GILKNOCKER_GUARDED_BY(mutex_);
  HolderMark last_ GILKNOCKER_GUARDED_BY(mutex_);
};

}  // namespace gilknocker
