// Tells of stalls while they last: at each look, whether one thread has held the GIL for too long
// though somebody asked for it.
//
// A look at the lock word cannot tell a thread that holds the GIL from one that lets go and takes
// it back before the next look. So a hold is a stall only if a thread has asked for the GIL
// meanwhile (a knock of ours does, again and again) and did not get it: pure Python gives way.
//
// Thread safety: looked() and rest() by the watcher's thread, which alone uses what is not guarded;
// all else by any thread that does not hold the GIL. While a stall is told nothing is allocated and
// no lock is taken; the mutex is for those that are over.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gilknocker/code_reader.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/holder_stack.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/live_count.hpp"
#include "gilknocker/look_sink.hpp"
#include "gilknocker/memory.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/stall.hpp"
#include "gilknocker/stall_output.hpp"
#include "gilknocker/stall_text.hpp"
#include "gilknocker/surroundings.hpp"
#include "gilknocker/sync.hpp"

namespace gilknocker {

struct StallPlan {
  Nanos longer_than = 0;  // 0: stalls are not watched for
  StallFormat format = StallFormat::kText;
  Descriptor output;
  const StackOffsets* stacks = nullptr;  // null: stacks cannot be read
};

class StallWatch final : public LookSink, private LiveCount<StallWatch> {
 public:
  using LiveCount<StallWatch>::value;

  // Told of in any minute: so many, and those that follow are counted.
  static constexpr int kMostInAMinute = 10;
  static constexpr std::size_t kMostKept = 64;  // of those that are over

  // `ledger` says whether a knock waits. All of them must live as long as the watcher looks.
  StallWatch(const Gil& gil, const Clock& clock, const Ledger& ledger,
             const Surroundings& surroundings, const Memory& memory, const StallPlan& plan,
             std::unique_ptr<StallOutput> output);

  void looked(Nanos at, Look look) noexcept override GILKNOCKER_EXCLUDES(mutex_);
  void rest() noexcept override GILKNOCKER_EXCLUDES(mutex_);

  // Those that are over, of a higher number than `after`, the oldest first: as JSON.
  std::vector<std::string> finished(std::int64_t after) const GILKNOCKER_EXCLUDES(mutex_);
  // Waits until there is such a one; false if it is interrupted instead.
  bool wait_finished(std::int64_t after) noexcept GILKNOCKER_EXCLUDES(mutex_);
  // Who waits gives up, and who comes later: until it is undone.
  void interrupt(bool on) noexcept GILKNOCKER_EXCLUDES(mutex_);

 private:
  // More time than that between two looks the process was stopped, or had no CPU: then the GIL was
  // held, but nobody is to blame.
  static constexpr Nanos kLongestGap = 100'000'000;
  static constexpr Nanos kSecond = 1'000'000'000;
  static constexpr int kParts = 4;  // of the time that is tolerated
  static constexpr int kScans = 3;  // in it, for who waits
  static constexpr Nanos kPerAllowed = 60 * kSecond / kMostInAMinute;

  struct Finished {
    std::int64_t number;
    std::size_t size;
    std::array<char, StallText::kRoom> json;
  };

  void begin_hold(const std::optional<HolderMark>& mark, Nanos at) noexcept;
  void go_on(Nanos at, Nanos passed) noexcept;
  void begin_stall() noexcept;
  void tell(StallEvent event) noexcept;
  void begin_cpu(Nanos at) noexcept;
  void note(Nanos at) noexcept;
  void note_work(Nanos at) noexcept;
  void note_waiting(Nanos at) noexcept;
  void note_stack() noexcept;
  void finish(Nanos at) noexcept GILKNOCKER_EXCLUDES(mutex_);
  void keep() noexcept GILKNOCKER_EXCLUDES(mutex_);
  bool allowed(Nanos at) noexcept;

  const Gil& gil_;
  const Clock& clock_;
  const Ledger& ledger_;
  const Surroundings& surroundings_;
  const std::int64_t pid_;
  const StallPlan plan_;
  const std::unique_ptr<StallOutput> output_;
  const std::unique_ptr<HolderStack> holder_;  // null where stacks cannot be read
  const std::unique_ptr<CodeReader> names_;
  RawStack raw_;
  StallText text_;

  // Of the hold under way.
  std::optional<HolderMark> mark_;
  Nanos last_look_ = 0;
  Nanos watched_ = 0;  // of it, without long gaps between looks
  Nanos asked_ = 0;    // and of that, while somebody asked for the GIL
  std::optional<Nanos> cpu_then_;
  Nanos cpu_since_ = 0;
  struct Waiting {
    std::int64_t native_id;
    Nanos since;
  };
  std::array<Waiting, Stall::kMostWaiting> waiting_{};
  std::size_t waiting_size_ = 0;
  std::optional<std::size_t> waiters_;
  int scans_ = 0;
  // Of the stall that it has become.
  Stall stall_;
  bool stalled_ = false;
  bool told_ = false;     // it may be written of
  bool written_ = false;  // and was
  Nanos next_ = 0;        // held so long, it is told of again

  std::int64_t number_ = 0;
  std::int64_t unwritten_ = 0;
  Nanos spent_until_ = 0;  // what was told of is paid for until then

  mutable Mutex mutex_;
  CondVar changed_;
  bool interrupted_ GILKNOCKER_GUARDED_BY(mutex_) = false;
  std::int64_t newest_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  std::size_t kept_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  std::array<Finished, kMostKept> ring_ GILKNOCKER_GUARDED_BY(mutex_);
};

}  // namespace gilknocker
