// A day in a second: counters stay exact and memory flat, whatever the clocks do.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>

#include "check.hpp"
#include "gilknocker/knocker.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/tally.hpp"
#include "gilknocker/watcher.hpp"
#include "nothing_left.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kMillisecond = 1'000'000;
constexpr Nanos kSecond = 1'000 * kMillisecond;
constexpr Nanos kDay = 86'400 * kSecond;
constexpr Nanos kDate = 1'700'000'000 * kSecond;

class SteppedClock final : public Clock {
 public:
  explicit SteppedClock(Nanos now) : now_(now) {}
  Nanos now() const noexcept override { return now_; }
  Nanos unix_time() const noexcept override { return unix_; }
  Nanos thread_cpu() const noexcept override { return 0; }

  void set(Nanos now) noexcept { now_ = now; }
  void advance(Nanos by) noexcept { now_ += by; }
  void step_unix_time(Nanos by) noexcept { unix_ += by; }

 private:
  Nanos now_;
  Nanos unix_ = kDate;
};

// Held for the first `held` of each `period`; whoever acquires it waits for the rest of that.
class PeriodicGil final : public Gil {
 public:
  PeriodicGil(SteppedClock& clock, Nanos held, Nanos period)
      : clock_(clock), held_(held), period_(period) {}

  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override { return rest() > 0 ? Look::kHeld : Look::kFree; }
  std::unique_ptr<OwnThreadState> open_state() override { return std::make_unique<State>(*this); }

 private:
  class State final : public OwnThreadState {
   public:
    explicit State(PeriodicGil& gil) : gil_(gil) {}
    bool occupy() override { return true; }
    void acquire() override { gil_.clock_.advance(gil_.rest()); }
    std::optional<bool> acquire_and_tell() override {
      acquire();
      return std::nullopt;
    }
    void release() override {}
    void leave() override {}
    void close() override {}

   private:
    PeriodicGil& gil_;
  };

  Nanos rest() const noexcept { return std::max<Nanos>(held_ - clock_.now() % period_, 0); }

  SteppedClock& clock_;
  const Nanos held_;
  const Nanos period_;
};

// Wakes whoever is due, `lateness` after that, until `end`.
void drive(SteppedClock& clock, Task& one, Task& other, Nanos end, Nanos lateness) {
  while (true) {
    Task& next = one.due() <= other.due() ? one : other;
    if (next.due() + lateness >= end) break;
    clock.set(std::max(clock.now(), next.due() + lateness));
    next.wake(clock.now());
  }
  clock.set(std::max(clock.now(), end));
}

TEST(a_day_with_a_suspend_and_steps_of_the_date_is_counted_exactly) {
  const NothingLeft nothing_left;
  constexpr Nanos kInterval = 50 * kMillisecond;
  constexpr Nanos kKnocks = 500 * kMillisecond;
  constexpr std::size_t kCapacity = 10'000;
  constexpr Nanos kStart = 9'000'000'000 * kSecond;  // 285 years after boot, 7 before the end
  SteppedClock clock(kStart);
  PeriodicGil gil(clock, 3 * kMillisecond, 10 * kMillisecond);
  Ledger ledger(clock, kCapacity);
  const std::int64_t run = ledger.begin_run();
  Watcher watcher(gil, clock, ledger, TickSchedule({kInterval, 0, 0}, kStart, 1), kMillisecond);
  Knocker knocker(gil, clock, ledger, run, TickSchedule({kKnocks, 0, 0}, kStart, 2), {});
  watcher.begin();
  knocker.give(gil.open_state());
  knocker.begin();
  long chunks = 0;
  Reading before = ledger.read(true);
  for (int hour = 1; hour <= 24; ++hour) {
    if (hour == 12) clock.advance(kDay / 24);  // an hour in which nothing of ours ran
    clock.step_unix_time(hour % 2 == 0 ? kDay : -kDay);
    drive(clock, watcher, knocker, kStart + hour * (kDay / 24), 0);
    const Reading reading = ledger.read(true);
    CHECK_EQ(reading.observed, clock.now() - kStart);
    CHECK_EQ(reading.start_unix, kDate);
    CHECK_EQ(reading.end_unix, clock.unix_time());
    CHECK(reading.ticks.ticks + reading.ticks.missed >= before.ticks.ticks + before.ticks.missed);
    CHECK(reading.knocks.wait_total >= before.knocks.wait_total);
    CHECK_EQ(reading.waits->size(),
             std::min<std::size_t>(kCapacity, static_cast<std::size_t>(reading.knocks.knocks)));
    if (hour == 6) chunks = WaitChunk::value();
    if (hour > 6) CHECK(WaitChunk::value() <= chunks + 1);
    before = reading;
  }
  const auto near = [](std::int64_t counted, std::int64_t expected) {
    return counted >= expected - 1 && counted <= expected + 1;
  };
  CHECK(near(before.ticks.ticks + before.ticks.missed, kDay / kInterval));
  CHECK(near(before.ticks.missed, (kDay / 24) / kInterval));
  CHECK(near(before.knocks.knocks + before.knocks.missed, kDay / kKnocks));
  CHECK_NEAR(held_fraction(before.ticks), 0.3, 0.002);
  std::int64_t counted = 0;
  for (const HistogramBucket& bucket : before.histogram) counted += bucket.count;
  CHECK_EQ(counted, before.knocks.knocks);
  CHECK(before.knocks.wait_max <= 3 * kMillisecond);
  knocker.end();
  watcher.end();
}

TEST(counts_go_on_beyond_32_bits) {
  const NothingLeft nothing_left;
  SteppedClock clock(kSecond);
  Ledger ledger(clock, 10);
  const std::int64_t run = ledger.begin_run();
  std::int64_t expected = 0;
  for (const std::int64_t step : {(std::int64_t{1} << 31) - 10, std::int64_t{1} << 31}) {
    KnockRecord many;  // a knock that answers for so many looks, and waited for as many seconds
    many.asked = clock.now();
    many.wait = many.observed = step;
    many.missed = step;
    many.ticks = {.ticks = step, .held = step, .missed = step};
    ledger.begin_knock(run);
    ledger.end_knock(run, many);
    expected += step;
    for (int i = 0; i < 20; ++i) ledger.record_tick({.at = clock.now(), .look = Look::kHeld});
    expected += 20;
  }
  const Reading reading = ledger.read(false);
  CHECK_EQ(reading.ticks.ticks, expected);
  CHECK_EQ(reading.ticks.held, expected);
  CHECK_EQ(reading.ticks.missed, expected - 40);
  CHECK_EQ(reading.knocks.missed, expected - 40);
  CHECK_EQ(reading.knocks.wait_total, expected - 40);
  CHECK(reading.ticks.ticks > std::int64_t{1} << 32);
}

TEST(where_every_wake_up_is_50_ms_late_it_says_so_and_the_fraction_holds) {
  const NothingLeft nothing_left;
  constexpr Nanos kLate = 50 * kMillisecond;
  constexpr Nanos kEnd = 3'600 * kSecond;
  SteppedClock clock(0);
  PeriodicGil gil(clock, 7 * kMillisecond, 13 * kMillisecond);
  Ledger ledger(clock, 0);
  const std::int64_t run = ledger.begin_run();
  Watcher watcher(gil, clock, ledger, TickSchedule({kMillisecond, 0, 0}, 0, 3), kMillisecond / 10);
  Knocker knocker(gil, clock, ledger, run, TickSchedule({10 * kMillisecond, 0, 0}, 0, 4), {});
  watcher.begin();
  knocker.give(gil.open_state());
  knocker.begin();
  drive(clock, watcher, knocker, kEnd, kLate);
  const Reading reading = ledger.read(false);
  const std::int64_t due = kEnd / kMillisecond;
  CHECK_EQ(reading.ticks.late, reading.ticks.ticks);
  CHECK(reading.ticks.ticks >= due / 60);
  CHECK(reading.ticks.ticks + reading.ticks.missed <= due);
  CHECK(reading.ticks.ticks + reading.ticks.missed >= due - 200);
  CHECK_NEAR(held_fraction(reading.ticks), 7.0 / 13.0, 0.02);
  // A late knock asks late: its wait is that of a thread which asks then.
  CHECK(reading.knocks.wait_max <= 7 * kMillisecond);
  CHECK(reading.knocks.knocks > 0);
  knocker.end();
  watcher.end();
}

}  // namespace
}  // namespace gilknocker
