#include "gilknocker/knocker.hpp"

#include <algorithm>
#include <utility>

#include "gilknocker/this_thread.hpp"

namespace gilknocker {

Knocker::Knocker(Gil& gil, const Clock& clock, Ledger& ledger, std::int64_t run,
                 TickSchedule schedule, KnockAsLook as_look)
    : gil_(gil),
      clock_(clock),
      ledger_(ledger),
      run_(run),
      schedule_(std::move(schedule)),
      as_look_(as_look),
      observed_until_(schedule_.opening()),
      cpu_(clock) {}

void Knocker::begin() {
  this_thread::ask_for_exact_timers();
  if (!own_state_ || !enter(Phase::kUsing)) return;
  if (!own_state_->occupy()) own_state_.reset();
  phase_.store(Phase::kIdle, std::memory_order_release);
}

bool Knocker::enter(Phase to) noexcept {
  Phase from = Phase::kIdle;
  return phase_.compare_exchange_strong(from, to, std::memory_order_acquire,
                                        std::memory_order_relaxed);
}

bool Knocker::claim() {
  if (!gil_.closes_for_others() || !enter(Phase::kClaimed)) return false;
  if (own_state_) own_state_->close();
  return true;
}

void Knocker::wake(Nanos now) {
  if (schedule_.opening() != kNever) {
    // The burst may have begun under the knock before: no moment counts twice.
    observed_until_ = std::max(observed_until_, schedule_.opening());
  }
  if (!own_state_ || !enter(Phase::kUsing)) return;
  const KnockRecord record = knock(schedule_.advance_past(now));
  ledger_.end_knock(run_, record);
  phase_.store(Phase::kIdle, std::memory_order_release);
}

std::optional<bool> Knocker::acquire() {
  if (as_look_.active) return own_state_->acquire_and_tell();
  own_state_->acquire();
  return std::nullopt;
}

void Knocker::give_back() {
  if (stopping_.load(std::memory_order_relaxed)) {
    own_state_->leave();
    own_state_.reset();
  } else {
    own_state_->release();
  }
}

KnockRecord Knocker::knock(std::int64_t missed_before) {
  KnockRecord record;
  own_state_->get_ready();
  ledger_.begin_knock(run_);
  if (keeper_) keeper_->asks();
  record.asked = clock_.now();
  const std::optional<bool> had_to_wait = acquire();
  const Nanos got = clock_.now();
  // Now, for whoever had it until now is likely to be there still.
  record.named = ledger_.try_unnamed();
  for (std::size_t i = 0; i < record.named.count; ++i) {
    record.named.names[i] = gil_.name_of(record.named.ids[i]);
  }
  if (keeper_ && !stopping_.load(std::memory_order_relaxed)) keeper_->has();
  give_back();
  if (keeper_) keeper_->gave_back(got);
  const std::int64_t passed = schedule_.due() <= got ? schedule_.advance_past(got) + 1 : 0;
  record.wait = got - record.asked;
  record.missed = missed_before + passed;
  record.observed = std::max<Nanos>(got - observed_until_, record.wait);
  observed_until_ = got;
  record.cpu = cpu_.portion(got);
  if (as_look_.active) {
    record.ticks = as_look_.answered(had_to_wait, record.wait, passed);
    record.ticks.missed += missed_before;
  }
  return record;
}

void Knocker::end() {
  leave_state();
  ledger_.add_knocker_cpu(run_, cpu_.rest());
}

void Knocker::leave_state() {
  if (!own_state_ || !enter(Phase::kUsing)) return;
  own_state_->get_ready();
  own_state_->acquire();
  own_state_->leave();
  own_state_.reset();
  phase_.store(Phase::kIdle, std::memory_order_release);
}

}  // namespace gilknocker
