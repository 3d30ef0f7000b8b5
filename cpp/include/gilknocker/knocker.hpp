// Acquires the GIL at each knock and times the answer.
//
// Thread safety
//   phase_      the handover of the seat between the knocker's thread and a stopper that holds the
//               GIL. The knocker: kAway -> kOpening -> kIdle once, then kIdle <-> kKnocking. A
//               stopper: kAway -> kClaimed, after which no seat is opened, or kIdle -> kClaimed,
//               after which the knocker leaves the seat alone until it is told to end; both by
//               compare-and-swap. The knocker stores with release and a claim
//               acquires, so that the stopper sees the seat as the knocker left it; what the
//               stopper does with it, the knocker sees through the worker's mutex, which tells it
//               to end.
//   stopping_   written by any stopper, read by the knocker while it holds the GIL, where it must
//               not lock. Relaxed: a knocker that misses it sees the worker's flag before the
//               next knock.
//   all else    belongs to the worker's thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

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

  void begin() override;
  Nanos due() const noexcept override { return is_seated() ? schedule_.due() : kNever; }
  void wake(Nanos now) override;
  void end() override;

  // A stopper that holds the GIL takes the seat from an idle knocker and clears it, or keeps one
  // that has not begun from opening it, so that the thread can end without acquiring. Never
  // blocks. False if the knocker is at work, or its seat is not for others to clear: it will then
  // leave by itself as soon as it gets the GIL.
  bool claim();
  // Whether the thread ends without the GIL, whoever holds that. Any thread; once true, it stays.
  bool is_claimed() const noexcept {
    return phase_.load(std::memory_order_acquire) == Phase::kClaimed;
  }
  void announce_stop() noexcept { stopping_.store(true, std::memory_order_relaxed); }

 private:
  enum class Phase : unsigned char { kAway, kOpening, kIdle, kKnocking, kClaimed };

  bool is_seated() const noexcept {
    return seat_ && phase_.load(std::memory_order_relaxed) != Phase::kClaimed;
  }
  bool enter(Phase from, Phase to) noexcept;
  KnockRecord knock(std::int64_t missed_before);
  std::optional<bool> acquire();
  void give_back();
  void leave_seat();

  Gil& gil_;
  const Clock& clock_;
  Ledger& ledger_;
  const std::int64_t run_;
  TickSchedule schedule_;
  const KnockAsLook as_look_;
  std::unique_ptr<GilSeat> seat_;
  Nanos observed_until_;
  CpuMeter cpu_;
  std::atomic<Phase> phase_{Phase::kAway};
  std::atomic<bool> stopping_{false};
};

}  // namespace gilknocker
