// All numbers of one sampler: the one place where its threads meet.
//
// Thread safety: every member is guarded by one mutex, held for a few counters' time, or for a copy
// of the histogram and of the log's last chunk in read(). Writers: the watcher (record_tick), the
// knocker (begin_knock, end_knock), whoever starts, stops or resets. Readers: any thread. Nobody
// holds the GIL while waiting for the mutex: callers that hold the GIL use the try_ forms first
// and let go of it if they fail.
//
// Invariants: ticks >= held + own + disabled; an epoch counts only looks taken after it began;
// knocks of a run that was abandoned are dropped.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "gilknocker/counted_time.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/held_source.hpp"
#include "gilknocker/holder_counts.hpp"
#include "gilknocker/knock_as_look.hpp"
#include "gilknocker/live_count.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/tally.hpp"
#include "gilknocker/wait_histogram.hpp"
#include "gilknocker/wait_log.hpp"

namespace gilknocker {

struct TickRecord {
  Nanos at = 0;  // just before the look
  Look look = Look::kFree;
  std::int64_t weight = 1;  // for how much time it stands, in units of the shortest
  bool late = false;
  std::int64_t missed = 0;
  Nanos cpu = 0;                                  // a portion of the recording thread's
  std::optional<HolderId> holder = std::nullopt;  // of a look that found it held
};

struct KnockRecord {
  Nanos asked = 0;
  Nanos wait = 0;
  Nanos observed = 0;  // time since the last knock of the burst, or since the burst began
  std::int64_t missed = 0;
  Nanos cpu = 0;
  TickTally ticks{};  // where knocks answer for looks; else zero
  Unnamed named{};    // what try_unnamed() asked for
};

struct Reading {
  std::int64_t epoch = 0;
  Nanos start = 0;
  Nanos end = 0;
  Nanos start_unix = 0;
  Nanos end_unix = 0;
  Nanos observed = 0;
  Nanos held = 0;            // counted, and for the rest of `observed` estimated from the ticks
  Nanos counted = 0;         // so much of `observed` was counted
  std::int64_t takes = 0;    // of the GIL by the program, while they were counted
  Cycles counted_until = 0;  // up to that moment, by the hooks' clock; 0: nothing counts
  TickTally ticks;
  LookWeights looks;  // zero where knocks answer for looks
  KnockTally knocks;
  std::optional<Nanos> floor;
  Nanos in_flight = 0;  // of a knock that still waits, or did at the stop; 0 if none does
  Nanos cpu = 0;
  bool slice_active = false;
  std::vector<HistogramBucket> histogram;
  std::vector<HolderCount> holders;
  std::optional<WaitView> waits;
};

class Ledger : private LiveCount<Ledger> {
 public:
  using LiveCount<Ledger>::value;

  // `held`: where holds are counted, null where they never are.
  Ledger(const Clock& clock, std::size_t log_capacity, KnockAsLook as_look = {},
         const HeldSource* held = nullptr) noexcept;

  // A run is what lies between a start and a stop; its number tells late writers apart.
  std::int64_t begin_run() GILKNOCKER_EXCLUDES(mutex_);
  void end_run() GILKNOCKER_EXCLUDES(mutex_);
  // The knock of the run just ended will not be waited for: what it still records is dropped.
  void abandon_knock() GILKNOCKER_EXCLUDES(mutex_);

  void record_tick(const TickRecord& record) GILKNOCKER_EXCLUDES(mutex_);
  // Marks a knock as in flight from now on.
  void begin_knock(std::int64_t run) GILKNOCKER_EXCLUDES(mutex_);
  void end_knock(std::int64_t run, const KnockRecord& record) GILKNOCKER_EXCLUDES(mutex_);
  // Whose names a knock that has the GIL may find out; nobody's if the mutex is taken.
  Unnamed try_unnamed() const GILKNOCKER_EXCLUDES(mutex_);
  // Whether a knock waits at this instant.
  bool knock_waits() const noexcept { return knock_waits_.load(std::memory_order_relaxed); }
  void add_cpu(Nanos used) GILKNOCKER_EXCLUDES(mutex_);
  void add_knocker_cpu(std::int64_t run, Nanos used) GILKNOCKER_EXCLUDES(mutex_);
  void note_slice(bool active) GILKNOCKER_EXCLUDES(mutex_);

  void reset() GILKNOCKER_EXCLUDES(mutex_);
  bool try_reset() GILKNOCKER_EXCLUDES(mutex_);
  Reading read(bool with_waits) const GILKNOCKER_EXCLUDES(mutex_);
  bool try_read(bool with_waits, Reading* out) const GILKNOCKER_EXCLUDES(mutex_);
  WaitView waits() const GILKNOCKER_EXCLUDES(mutex_);

  double held_fraction() const GILKNOCKER_EXCLUDES(mutex_);
  bool try_held_fraction(double* out) const GILKNOCKER_EXCLUDES(mutex_);

  // The instant at which this epoch, or this run's part of it, began.
  Nanos began() const noexcept { return began_.load(std::memory_order_relaxed); }

  // Counts up to now; how often the program took the GIL in this epoch, in how much counted time.
  CountedTime count() GILKNOCKER_EXCLUDES(mutex_);
  bool try_count() GILKNOCKER_EXCLUDES(mutex_);
  // Whether holds were counted when it was last asked for anything: looks are not needed then.
  bool counts() const noexcept { return counts_.load(std::memory_order_relaxed); }

 private:
  // The instant, with what was held until then counted.
  Nanos now_locked() const GILKNOCKER_REQUIRES(mutex_);
  Nanos observed_locked(Nanos now) const GILKNOCKER_REQUIRES(mutex_);
  double held_fraction_locked(Nanos now) const GILKNOCKER_REQUIRES(mutex_);
  double looked_fraction_locked(const TickTally& ticks) const GILKNOCKER_REQUIRES(mutex_);
  Nanos held_locked(Nanos now) const GILKNOCKER_REQUIRES(mutex_);
  void reset_locked() GILKNOCKER_REQUIRES(mutex_);
  Reading read_locked(bool with_waits) const GILKNOCKER_REQUIRES(mutex_);
  Nanos in_flight_locked(Nanos now) const GILKNOCKER_REQUIRES(mutex_);
  TickTally ticks_locked(Nanos now) const GILKNOCKER_REQUIRES(mutex_);

  const Clock& clock_;
  const KnockAsLook as_look_;
  const HeldSource* const held_;
  mutable Mutex mutex_;
  std::int64_t epoch_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  std::int64_t run_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  bool running_ GILKNOCKER_GUARDED_BY(mutex_) = false;
  bool abandoned_ GILKNOCKER_GUARDED_BY(mutex_) = false;
  Nanos start_ GILKNOCKER_GUARDED_BY(mutex_);
  Nanos start_unix_ GILKNOCKER_GUARDED_BY(mutex_);
  Nanos end_ GILKNOCKER_GUARDED_BY(mutex_);  // of the last run, in this epoch
  Nanos end_unix_ GILKNOCKER_GUARDED_BY(mutex_);
  Nanos resumed_ GILKNOCKER_GUARDED_BY(mutex_) = 0;  // this run's part of the epoch began
  // resumed_, written with the mutex, read without it by the watcher: relaxed, for it is all that
  // is read, and who has reset it wakes the watcher.
  std::atomic<Nanos> began_{0};
  Nanos observed_ GILKNOCKER_GUARDED_BY(mutex_) = 0;  // of the runs before
  mutable CountedTime counted_ GILKNOCKER_GUARDED_BY(mutex_);
  // What a reader was told was held: an estimate may fall behind it, and waits until it has caught
  // up, for what is cumulative only grows.
  mutable Nanos told_held_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  // counted_.counts(), written with the mutex, read without it by the watcher: relaxed, for one
  // that is behind looks once too often, or once too late.
  mutable std::atomic<bool> counts_{false};
  TickTally ticks_ GILKNOCKER_GUARDED_BY(mutex_);
  LookWeights looks_ GILKNOCKER_GUARDED_BY(mutex_);
  // Ticks under the knock in flight that a reader has been told of. The knock's own record adds no
  // less, so that the counts only grow.
  mutable TickTally told_ GILKNOCKER_GUARDED_BY(mutex_);
  KnockTally knocks_ GILKNOCKER_GUARDED_BY(mutex_);
  std::optional<Nanos> floor_ GILKNOCKER_GUARDED_BY(mutex_);  // over all epochs
  Nanos asked_ GILKNOCKER_GUARDED_BY(mutex_) = kNever;        // kNever: no knock is in flight
  Nanos cpu_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  bool slice_active_ GILKNOCKER_GUARDED_BY(mutex_) = false;
  WaitHistogram histogram_ GILKNOCKER_GUARDED_BY(mutex_);
  HolderCounts holders_ GILKNOCKER_GUARDED_BY(mutex_);
  // holders_.some_unnamed(), written with the mutex, read without it by a knock that has the GIL:
  // relaxed, for one that is behind looks for names a knock too late, or for nothing.
  std::atomic<bool> some_unnamed_{false};
  // Written with the mutex, read without it by the watcher: relaxed, for it is of that instant
  // only.
  std::atomic<bool> knock_waits_{false};
  WaitLog log_ GILKNOCKER_GUARDED_BY(mutex_);
};

}  // namespace gilknocker
