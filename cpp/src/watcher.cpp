#include "gilknocker/watcher.hpp"

#include <utility>

#include "gilknocker/this_thread.hpp"

namespace gilknocker {

Watcher::Watcher(const Gil& gil, const Clock& clock, Ledger& ledger, TickSchedule schedule,
                 Nanos late_after, StackSink* stacks, LookSink* looks)
    : gil_(gil),
      ledger_(ledger),
      schedule_(std::move(schedule)),
      began_(ledger.began()),
      late_after_(late_after),
      stacks_(stacks),
      looks_(looks),
      cpu_(clock) {}

void Watcher::begin() {
  this_thread::ask_for_exact_timers();
  ledger_.note_slice(this_thread::ask_for_short_slice());
}

void Watcher::follow_resets() const noexcept {
  if (!schedule_.starts_densely() || ledger_.began() == began_) return;
  began_ = ledger_.began();
  schedule_.restart(began_);
}

Nanos Watcher::due() const noexcept {
  follow_resets();
  if (!ledger_.counts() || stacks_ != nullptr) return schedule_.due();
  rested_ = true;
  return kNever;
}

void Watcher::wake(Nanos now) {
  if (rested_) {
    rested_ = false;
    if (schedule_.due() <= now) schedule_.advance_past(now);
    return;
  }
  follow_resets();
  if (schedule_.starts_densely() && now < schedule_.due()) return;  // it was due before the reset
  TickRecord record;
  record.look = gil_.look();  // before all else: each later instruction is a chance to be late
  record.at = now;
  if (record.look == Look::kHeld) record.holder = stacks_ ? stacks_->held(now) : gil_.holder();
  if (looks_ != nullptr) looks_->looked(now, record.look);
  record.late = now - schedule_.due() > late_after_;
  record.missed = schedule_.advance_past(now);
  record.weight = schedule_.passed_weight();
  record.cpu = cpu_.portion(now);
  ledger_.record_tick(record);
}

void Watcher::end() {
  if (looks_ != nullptr) looks_->rest();
  ledger_.add_cpu(cpu_.rest());
}

}  // namespace gilknocker
