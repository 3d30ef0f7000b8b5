// Acquires the GIL at each knock and times the answer.
//
// Thread safety
//   phase_      the handover of the state between the knocker's thread and a stopper that holds the
//               GIL. The knocker: kIdle <-> kUsing, by compare-and-swap and back. A stopper:
//               kIdle -> kClaimed, by compare-and-swap, after which the knocker leaves the state
//               alone for good. The knocker stores with release and a claim acquires, so that the
//               stopper sees the state as the knocker left it.
//   stopping_   written by any stopper, read by the knocker while it holds the GIL, where it must
//               not lock. Relaxed: a knocker that misses it sees the worker's flag before the
//               next knock.
//   all else    belongs to the worker's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "gilknocker/count_keeper.hpp"
#include "gilknocker/cpu_meter.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/knock_as_look.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/task.hpp"
#include "gilknocker/tick_schedule.hpp"

namespace gilknocker {

class Knocker final : public Task {
 public:
  Knocker(Gil& gil, const Clock& clock, Ledger& ledger, std::int64_t run, TickSchedule schedule,
          KnockAsLook as_look);

  // Before begin(). Without a state it never knocks; one that was given and not begun with can be
  // had back.
  void give(std::unique_ptr<OwnThreadState> own_state) noexcept {
    own_state_ = std::move(own_state);
  }
  std::unique_ptr<OwnThreadState> take_back() noexcept { return std::move(own_state_); }

  // Before begin(): who is asked at each knock whether to go on counting.
  void keep(std::unique_ptr<CountKeeper> keeper) noexcept { keeper_ = std::move(keeper); }

  void begin() override;
  Nanos due() const noexcept override { return has_state() ? schedule_.due() : kNever; }
  void wake(Nanos now) override;
  void end() override;

  // A stopper that holds the GIL closes the state of an idle knocker, so that the thread can end
  // without acquiring. Never blocks. False if the knocker is at work, or its state is not for
  // others to close: it will then leave by itself as soon as it gets the GIL.
  bool claim();
  // Whether the thread ends without the GIL, whoever holds that. Any thread; once true, it stays.
  bool is_claimed() const noexcept {
    return phase_.load(std::memory_order_acquire) == Phase::kClaimed;
  }
  void announce_stop() noexcept { stopping_.store(true, std::memory_order_relaxed); }

 private:
  enum class Phase : unsigned char { kIdle, kUsing, kClaimed };

  bool has_state() const noexcept {
    return own_state_ && phase_.load(std::memory_order_relaxed) != Phase::kClaimed;
  }
  bool enter(Phase to) noexcept;  // from kIdle
  KnockRecord knock(std::int64_t missed_before);
  std::optional<bool> acquire();
  void give_back();
  void leave_state();

  Gil& gil_;
  const Clock& clock_;
  Ledger& ledger_;
  const std::int64_t run_;
  TickSchedule schedule_;
  const KnockAsLook as_look_;
  std::unique_ptr<OwnThreadState> own_state_;
  std::unique_ptr<CountKeeper> keeper_;
  Nanos observed_until_;
  CpuMeter cpu_;
  std::atomic<Phase> phase_{Phase::kIdle};
  std::atomic<bool> stopping_{false};
};

}  // namespace gilknocker
