// Watcher + knocker + lifecycle: what KnockKnock is made of.
//
// Thread safety
//   start(), stop()   any thread, not holding the GIL; serialised by lifecycle_, which is held
//                     while threads are joined. A stop that finds another one at work waits for
//                     that first: its timeout begins then.
//   claim_state()      a thread that holds the GIL, just before stop(); never blocks.
//   read(), reset()…  any thread; the ledger has its own mutex. Not holding the GIL, but for try_.
//   watching_         the running watcher: set by a start, taken away by a stop before it joins,
//                     woken by a reset, which only tries to lock it where it holds the GIL.
//   is_running()      any thread; an atomic because it is read without the lock. Relaxed: it
//                     orders nothing, start() and stop() order themselves.
// The destructor REQUIRES that it is stopped. In a forked child nothing may be called at all: the
// threads are gone and a mutex may be locked for ever; the owner leaks the object there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "gilknocker/gil.hpp"
#include "gilknocker/held_source.hpp"
#include "gilknocker/held_stacks.hpp"
#include "gilknocker/knocker.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/live_count.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/stall_watch.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/tick_schedule.hpp"
#include "gilknocker/waiter_count.hpp"
#include "gilknocker/worker.hpp"

namespace gilknocker {

struct SamplerPlan {
  Nanos interval = 0;         // of ticks
  int dense_start = 0;        // of ticks, after each start and reset: see SchedulePlan
  SchedulePlan knocks;        // beside looks; without them knocks come at `interval`
  Nanos late_after = 0;       // a tick woken later than this after its instant is late
  Nanos contended_after = 0;  // a knock that waited longer met a held GIL
  std::size_t log_capacity = 0;
  const StackOffsets* stacks = nullptr;  // where the holder's stack is read from; null: it is not
  // How many threads wait when a stack is read, told by a trace; null: whether a knock does.
  std::shared_ptr<const WaiterCount> waiters;
  StallPlan stalls;
  bool count = false;  // holds are counted while counting() is on
  double budget = 0;   // the share of time that counting may cost; more, and it looks instead
  bool look = true;    // false: let knocks answer for looks even where looks are possible
};

class Sampler : private LiveCount<Sampler> {
 public:
  using LiveCount<Sampler>::value;

  Sampler(Gil& gil, const Clock& clock, SamplerPlan plan);
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;
  ~Sampler();

  // With a state that a thread which held the GIL has opened just before. A state that is not
  // needed stays with the caller, who closes it with the GIL held: one was running already, or it
  // throws, std::system_error when a thread cannot be had, std::bad_alloc without memory; with
  // nothing left behind. Without a state there are no knocks.
  void start(std::unique_ptr<OwnThreadState>& own_state) GILKNOCKER_EXCLUDES(lifecycle_);
  void claim_state();
  // False if a knock was still stuck at the timeout: its thread was let go, and ends by itself.
  bool stop(Nanos timeout) GILKNOCKER_EXCLUDES(lifecycle_);
  bool is_running() const noexcept { return running_.load(std::memory_order_relaxed); }

  Reading read(bool with_waits) const { return ledger_->read(with_waits); }
  bool try_read(bool with_waits, Reading* out) const { return ledger_->try_read(with_waits, out); }
  WaitView waits() const { return ledger_->waits(); }
  StacksReading read_stacks() const { return stacks_ ? stacks_->read() : StacksReading{}; }
  // Null where stalls are not watched for.
  std::shared_ptr<StallWatch> stalls() const noexcept { return stalls_; }
  void reset();
  // By who has the GIL, and so waits for nobody. False if it could not be done, or not to its end:
  // reset() does.
  bool try_reset();
  double held_fraction() const { return ledger_->held_fraction(); }
  bool try_held_fraction(double* out) const { return ledger_->try_held_fraction(out); }
  // Turned on before a start and off after a stop, by who holds the GIL.
  Counting& counting() noexcept { return *counting_; }
  bool counts() const noexcept { return ledger_->counts(); }

  bool looks() const noexcept { return !as_look_.active; }
  std::int64_t id() const noexcept { return id_; }

 private:
  struct Run;
  HeldSource* held_source() const noexcept { return plan_.count ? gil_.held_source() : nullptr; }
  std::shared_ptr<Run> make_run(std::int64_t number) const;
  bool end_knocker(Run& run, Nanos deadline) GILKNOCKER_REQUIRES(lifecycle_);
  void set_watching(Worker* watcher) GILKNOCKER_EXCLUDES(watching_);
  bool watcher_may_sleep() const noexcept;
  void wake_watcher() GILKNOCKER_EXCLUDES(watching_);
  bool try_wake_watcher() GILKNOCKER_EXCLUDES(watching_);

  Gil& gil_;
  const Clock& clock_;
  const SamplerPlan plan_;
  const KnockAsLook as_look_;
  const std::int64_t id_;  // unique in the process
  const std::shared_ptr<Counting> counting_;
  const std::shared_ptr<Ledger> ledger_;
  const std::shared_ptr<HeldStacks> stacks_;  // null where they are not asked for
  const OwnSurroundings surroundings_;
  const ProcessMemory memory_;
  const std::shared_ptr<StallWatch> stalls_;  // null where they are not asked for
  std::atomic<bool> running_{false};
  Mutex watching_;
  Worker* watcher_ GILKNOCKER_GUARDED_BY(watching_) = nullptr;
  Mutex lifecycle_;
  std::shared_ptr<Run> run_ GILKNOCKER_GUARDED_BY(lifecycle_);
};

}  // namespace gilknocker
