#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "check.hpp"
#include "failing_memory.hpp"
#include "gilknocker/ledger.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

KnockRecord knock_of(Nanos asked, Nanos wait) {
  KnockRecord record;
  record.asked = asked;
  record.wait = wait;
  record.observed = wait + 1'000;
  return record;
}

TEST(ledger_begins_at_zero) {
  const NothingLeft nothing_left;
  FakeClock clock(50);
  const Ledger ledger(clock, 10);
  clock.advance(7);  // nothing is observed before a start
  const Reading reading = ledger.read(true);
  CHECK_EQ(reading.epoch, 0);
  CHECK_EQ(reading.observed, 0);
  CHECK_EQ(reading.end - reading.start, 0);
  CHECK_EQ(reading.ticks.ticks, 0);
  CHECK_EQ(reading.knocks.knocks, 0);
  CHECK_EQ(reading.in_flight, 0);
  CHECK(!reading.floor);
  CHECK(reading.histogram.empty());
  REQUIRE(reading.waits.has_value());
  CHECK_EQ(reading.waits->size(), 0);
  CHECK(!ledger.read(false).waits);
}

TEST(reset_starts_an_epoch_without_looks_from_before) {
  const NothingLeft nothing_left;
  FakeClock clock(1'000);
  Ledger ledger(clock, 10);
  const std::int64_t run = ledger.begin_run();
  ledger.record_tick({.at = 1'000, .look = Look::kHeld, .cpu = 5});
  ledger.end_knock(run, knock_of(1'000, 300));
  clock.set(2'000);
  ledger.reset();
  ledger.record_tick({.at = 1'999, .look = Look::kHeld, .late = true, .missed = 3});
  Reading reading = ledger.read(true);
  CHECK_EQ(reading.epoch, 1);
  CHECK_EQ(reading.start, 2'000);
  CHECK_EQ(reading.start_unix, FakeClock::kUnixEpoch + 2'000);
  CHECK_EQ(reading.observed, 0);
  CHECK_EQ(reading.cpu, 0);
  CHECK_EQ(reading.ticks.ticks + reading.ticks.held + reading.ticks.late + reading.ticks.missed, 0);
  CHECK_EQ(reading.knocks.knocks + reading.knocks.wait_total + reading.knocks.wait_max, 0);
  CHECK(reading.histogram.empty());
  CHECK_EQ(reading.waits->size(), 0);
  CHECK_EQ(reading.floor.value_or(0), 300);  // what asking costs here does not change with it

  ledger.record_tick({.at = 2'000, .look = Look::kHeld, .late = true, .missed = 3});
  ledger.end_knock(run, knock_of(2'000, 400));
  clock.set(2'500);
  reading = ledger.read(true);
  CHECK_EQ(reading.observed, 500);
  CHECK_EQ(reading.ticks.held, 1);
  CHECK_EQ(reading.ticks.late, 1);
  CHECK_EQ(reading.ticks.missed, 3);
  CHECK_EQ(reading.waits->first_sequence(), 0);
  CHECK_EQ(reading.floor.value_or(0), 300);
}

TEST(knocks_of_an_abandoned_run_are_dropped) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  const std::int64_t old_run = ledger.begin_run();
  ledger.begin_knock(old_run);
  clock.set(100);
  ledger.end_run();
  ledger.abandon_knock();
  clock.set(200);
  ledger.end_knock(old_run, knock_of(0, 200));
  CHECK_EQ(ledger.read(false).knocks.knocks, 0);
  ledger.begin_knock(old_run);

  const std::int64_t run = ledger.begin_run();
  CHECK(run != old_run);
  CHECK_EQ(ledger.read(false).in_flight, 0);
  ledger.begin_knock(run);
  clock.set(250);
  ledger.begin_knock(old_run);  // must not move the new knock's beginning, nor end it
  ledger.end_knock(old_run, knock_of(0, 250));
  CHECK_EQ(ledger.read(false).in_flight, 50);
  CHECK_EQ(ledger.read(false).knocks.knocks, 0);
  ledger.end_knock(run, knock_of(200, 50));
  CHECK_EQ(ledger.read(false).in_flight, 0);
  CHECK_EQ(ledger.read(false).knocks.wait_total, 50);
}

TEST(knock_in_flight_grows_until_the_stop_and_no_further) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  const std::int64_t run = ledger.begin_run();
  CHECK_EQ(ledger.read(false).in_flight, 0);
  clock.set(10);
  ledger.begin_knock(run);
  clock.set(110);
  CHECK_EQ(ledger.read(false).in_flight, 100);
  CHECK_EQ(ledger.read(false).in_flight, 100);
  ledger.end_run();
  clock.set(5'000);
  CHECK_EQ(ledger.read(false).in_flight, 100);
  ledger.abandon_knock();
  CHECK_EQ(ledger.read(false).in_flight, 100);
  CHECK_EQ(ledger.read(false).end, 110);
  ledger.begin_run();
  CHECK_EQ(ledger.read(false).in_flight, 0);
}

TEST(reset_after_a_stop_forgets_the_knock_that_was_let_go) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  ledger.begin_knock(ledger.begin_run());
  clock.set(100);
  ledger.end_run();
  clock.set(200);
  ledger.reset();
  CHECK_EQ(ledger.read(false).in_flight, 0);
}

TEST(reset_does_not_hide_a_knock_that_waits) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  ledger.begin_knock(ledger.begin_run());
  clock.set(100);
  ledger.reset();
  clock.set(150);
  CHECK_EQ(ledger.read(false).in_flight, 150);
}

TEST(cpu_of_an_abandoned_knocker_is_dropped) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  const std::int64_t old_run = ledger.begin_run();
  ledger.add_knocker_cpu(old_run, 5);
  ledger.end_run();
  ledger.add_knocker_cpu(old_run, 7);
  CHECK_EQ(ledger.read(false).cpu, 12);
  ledger.begin_run();
  ledger.add_knocker_cpu(old_run, 9);
  CHECK_EQ(ledger.read(false).cpu, 12);
}

TEST(knock_that_ends_just_after_the_stop_counts) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  const std::int64_t run = ledger.begin_run();
  ledger.begin_knock(run);
  clock.set(100);
  ledger.end_run();
  ledger.end_knock(run, knock_of(0, 120));
  CHECK_EQ(ledger.read(false).knocks.knocks, 1);
  CHECK_EQ(ledger.read(false).in_flight, 0);
}

TEST(try_forms_give_up_while_the_ledger_is_locked) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10);
  ledger.begin_run();
  ledger.record_tick({.at = 0, .look = Look::kHeld});
  double glance = 0;
  Reading reading;
  bool asked = false;
  clock.on_now = [&] {  // the ledger asks for the time under its lock
    asked = true;
    CHECK(!ledger.try_reset());
    CHECK(!ledger.try_held_fraction(&glance));
    CHECK(!ledger.try_count());
    CHECK(!ledger.try_read(false, &reading));
  };
  static_cast<void>(ledger.read(false));
  clock.on_now = nullptr;
  CHECK(asked);
  CHECK_EQ(ledger.read(false).epoch, 0);
  CHECK_EQ(glance, 0);
  CHECK(ledger.try_held_fraction(&glance));
  CHECK_EQ(glance, 1);
  CHECK(ledger.try_count());
  CHECK(ledger.try_read(true, &reading));
  CHECK_EQ(reading.ticks.held, 1);
  CHECK(reading.waits.has_value());
  CHECK(ledger.try_reset());
  CHECK_EQ(ledger.read(false).epoch, 1);
}

TEST(reading_without_memory_leaves_the_ledger_unlocked) {
  const NothingLeft nothing_left;
  FakeClock clock(0);
  Ledger ledger(clock, 10'000);
  const std::int64_t run = ledger.begin_run();
  for (Nanos i = 0; i < 5'000; ++i) ledger.end_knock(run, knock_of(i, i));
  int failures = 0;
  for (int before = 0;; ++before) {
    try {
      const FailingMemory memory(before);
      Reading reading;
      CHECK(ledger.try_read(true, &reading));
      static_cast<void>(ledger.read(true));
      if (!memory.has_failed()) break;
    } catch (const std::bad_alloc&) {
    }
    ++failures;
    double glance = 0;
    CHECK(ledger.try_held_fraction(&glance));
  }
  CHECK(failures > 3);
  CHECK_EQ(ledger.read(true).waits->size(), 5'000);
}

// A ledger in a few lines: what it must say after any sequence of calls.
struct Model {
  std::int64_t epoch = 0;
  std::int64_t run = 0;
  bool running = false;
  Nanos since = 0;     // what is observed now began
  Nanos observed = 0;  // before that
  std::optional<Nanos> asked;
  Nanos stopped = 0;
  TickTally ticks;
  KnockTally knocks;
  std::optional<Nanos> floor;
  Nanos cpu = 0;
  std::map<std::int64_t, std::int64_t> histogram;
  std::vector<Nanos> waits;
};

void check_reading(const Reading& reading, const Model& model, Nanos now) {
  CHECK_EQ(reading.epoch, model.epoch);
  CHECK_EQ(reading.observed, model.observed + (model.running ? now - model.since : 0));
  CHECK(reading.end - reading.start >= reading.observed);
  CHECK_EQ(reading.end_unix - reading.end, FakeClock::kUnixEpoch);
  CHECK_EQ(reading.start_unix - reading.start, FakeClock::kUnixEpoch);
  CHECK_EQ(reading.ticks.ticks, model.ticks.ticks);
  CHECK_EQ(reading.ticks.held, model.ticks.held);
  CHECK_EQ(reading.ticks.own, model.ticks.own);
  CHECK_EQ(reading.ticks.late, model.ticks.late);
  CHECK_EQ(reading.ticks.disabled, model.ticks.disabled);
  CHECK_EQ(reading.ticks.missed, model.ticks.missed);
  CHECK_EQ(reading.knocks.knocks, model.knocks.knocks);
  CHECK_EQ(reading.knocks.missed, model.knocks.missed);
  CHECK_EQ(reading.knocks.observed, model.knocks.observed);
  CHECK_EQ(reading.knocks.wait_total, model.knocks.wait_total);
  CHECK_EQ(reading.knocks.wait_max, model.knocks.wait_max);
  CHECK_EQ(reading.floor.value_or(-1), model.floor.value_or(-1));
  CHECK_EQ(reading.cpu, model.cpu);
  if (!model.asked) CHECK_EQ(reading.in_flight, 0);
  if (model.asked && model.running) CHECK_EQ(reading.in_flight, now - *model.asked);
  if (!CHECK_EQ(reading.histogram.size(), model.histogram.size())) return;
  auto expected = model.histogram.begin();
  for (const HistogramBucket& bucket : reading.histogram) {
    CHECK_EQ(bucket.bucket, expected->first);
    CHECK_EQ(bucket.count, expected->second);
    ++expected;
  }
  const std::size_t kept = std::min<std::size_t>(model.waits.size(), 100);
  if (!CHECK_EQ(reading.waits->size(), kept)) return;
  std::vector<Nanos> waits(kept);
  reading.waits->copy_waits(waits.data());
  CHECK(std::equal(waits.rbegin(), waits.rend(), model.waits.rbegin()));
}

void tick(Ledger& ledger, Model& model, FakeClock& clock, Random& random) {
  const TickRecord record{.at = clock.now() - integer_in(random, 0, 20),
                          .look = static_cast<Look>(integer_in(random, 0, 3)),
                          .late = chance(random, 0.2),
                          .missed = integer_in(random, 0, 2),
                          .cpu = integer_in(random, 0, 9)};
  ledger.record_tick(record);
  model.cpu += record.cpu;
  if (record.at < model.since) return;
  ++model.ticks.ticks;
  model.ticks.held += record.look == Look::kHeld;
  model.ticks.own += record.look == Look::kOwn;
  model.ticks.disabled += record.look == Look::kDisabled;
  model.ticks.late += record.late;
  model.ticks.missed += record.missed;
}

void knock(Ledger& ledger, Model& model, FakeClock& clock, Random& random) {
  if (!model.asked) {
    ledger.begin_knock(model.run);
    model.asked = clock.now();
    return;
  }
  KnockRecord record = knock_of(*model.asked, clock.now() - *model.asked);
  record.missed = integer_in(random, 0, 2);
  record.cpu = integer_in(random, 0, 9);
  record.ticks = {.ticks = 3, .held = 2, .missed = 1};
  ledger.end_knock(model.run, record);
  model.asked.reset();
  ++model.knocks.knocks;
  model.knocks.missed += record.missed;
  const Nanos of_epoch = std::max(clock.now() - model.since, record.wait);
  model.knocks.observed += std::min(record.observed, of_epoch);
  model.knocks.wait_total += record.wait;
  model.knocks.wait_max = std::max(model.knocks.wait_max, record.wait);
  model.floor = std::min(model.floor.value_or(record.wait), record.wait);
  model.cpu += record.cpu;
  if (record.asked >= model.since) model.ticks += record.ticks;
  ++model.histogram[static_cast<std::int64_t>(WaitHistogram::bucket_of(record.wait))];
  model.waits.push_back(record.wait);
}

void start_or_stop(Ledger& ledger, Model& model, const FakeClock& clock) {
  if (model.running) {
    ledger.end_run();
    model.observed += clock.now() - model.since;
  } else {
    model.run = ledger.begin_run();
    model.since = clock.now();
    model.asked.reset();
  }
  model.running = !model.running;
}

void reset(Ledger& ledger, Model& model, const FakeClock& clock) {
  CHECK(ledger.try_reset());
  Model fresh;
  fresh.epoch = model.epoch + 1;
  fresh.run = model.run;
  fresh.running = model.running;
  fresh.since = clock.now();
  fresh.floor = model.floor;
  if (model.running) fresh.asked = model.asked;
  model = fresh;
}

TEST(ledger_agrees_with_a_naive_model) {
  const NothingLeft nothing_left;
  for_seeds(300, [](Random& random) {
    FakeClock clock(integer_in(random, 0, 1'000'000'000));
    Ledger ledger(clock, 100);
    Model model;
    for (int i = 0; i < 300; ++i) {
      clock.advance(integer_in(random, 0, 50));
      const double what = real_in(random, 0, 1);
      if (what < 0.05) {
        start_or_stop(ledger, model, clock);
      } else if (what < 0.06) {
        reset(ledger, model, clock);
      } else if (what < 0.55) {
        if (model.running) tick(ledger, model, clock, random);
      } else if (what < 0.95) {
        if (model.running) knock(ledger, model, clock, random);
      } else {
        check_reading(ledger.read(true), model, clock.now());
      }
    }
    check_reading(ledger.read(true), model, clock.now());
  });
}

}  // namespace
}  // namespace gilknocker
