#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "gilknocker/knocker.hpp"
#include "gilknocker/tally.hpp"
#include "gilknocker/this_thread.hpp"
#include "gilknocker/watcher.hpp"
#include "load.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"
#include "statistics.hpp"

namespace gilknocker {
namespace {

constexpr std::array<Nanos, 4> kIntervals{100'000, 1'000'000, 10'000'000, 100'000'000};

// A load and a window to watch it in, of 100 to 1,000 ticks and not too many holds.
struct Case {
  explicit Case(Random& random) : start(integer_in(random, 0, 1'000'000'000'000'000)) {
    std::int64_t affordable = 0;
    while (affordable < 100) {
      interval = kIntervals[random() % kIntervals.size()];
      plan = random_plan(interval, random);
      affordable = 20'000 * plan.period() / interval;
    }
    ticks = std::min<std::int64_t>(affordable, 1'000);
    end = start + ticks * interval;
  }

  Nanos start;
  Nanos end = 0;
  Nanos interval = 0;
  std::int64_t ticks = 0;
  LoadPlan plan;
};

Reading watch(const Load& load, Nanos start, Nanos interval, std::int64_t ticks, Random& random) {
  const Nanos end = start + ticks * interval;
  Simulation simulation(load, start, end, {}, random);
  Ledger ledger(simulation.clock(), 0);
  ledger.begin_run();
  Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                  TickSchedule({interval, 0, 0}, start, random()), 0);
  simulation.run(&watcher, nullptr, end - 1);
  return ledger.read(false);
}

TEST(watcher_finds_the_held_fraction) {
  const NothingLeft nothing_left;
  HeldCounts counts;
  for_seeds(3'000, [&](Random& random) {
    const Case c(random);
    const Load load = make_load(c.plan, c.start, c.end, random);
    const Reading reading = watch(load, c.start, c.interval, c.ticks, random);
    CHECK_EQ(reading.ticks.ticks, c.ticks);
    CHECK_EQ(reading.ticks.late, 0);
    CHECK_EQ(reading.ticks.missed, 0);
    counts.add(reading.ticks.held, expected_held(load, c.start, c.interval, c.ticks));
  });
  counts.check_together();
}

// What looks found in the first strata stands for less time than what they find later: a program
// that changes meanwhile shows it. Truth and variance are those of one look in each stratum.
TEST(watcher_that_starts_densely_weighs_what_it_finds) {
  const NothingLeft nothing_left;
  double sum = 0;
  double squares = 0;
  double count = 0;
  double short_windows = 0;
  for_seeds(3'000, [&](Random& random) {
    const int dense = static_cast<int>(integer_in(random, 1, 7));
    const std::int64_t ticks = integer_in(random, 8, 8 * dense + 30);
    const Nanos interval = Nanos{10'000} << dense;
    std::vector<Nanos> lengths;
    Nanos end = 0;
    for (std::int64_t tick = 0; tick < ticks; ++tick) {
      lengths.push_back(10'000LL << std::min<std::int64_t>(tick / 8, dense));
      end += lengths.back();
    }
    // Busy at first and then less so, or the other way round.
    LoadPlan often = random_plan(10'000, random);
    often.hold = log_uniform_in(random, 1'000, 5'000'000);
    often.think = log_uniform_in(random, 1'000, 5'000'000);
    std::vector<Hold> holds = make_load(often, end / 10, end + 1, random).holds();
    if (chance(random, 0.5)) holds.insert(holds.begin(), {0, end / 10 - 1});
    std::erase_if(holds, [](const Hold& hold) { return hold.from >= hold.to; });
    const Load load(std::move(holds));

    Simulation simulation(load, 0, end, {}, random);
    Ledger ledger(simulation.clock(), 0);
    ledger.begin_run();
    Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                    TickSchedule({interval, 0, 0, dense}, 0, random()), 0);
    simulation.run(&watcher, nullptr, end - 1);
    const Reading reading = ledger.read(false);
    CHECK_EQ(reading.ticks.ticks, ticks);
    CHECK_EQ(reading.looks.all, end / 10'000);
    CHECK_EQ(reading.looks.enabled, end / 10'000);
    CHECK_NEAR(ledger.held_fraction(),
               static_cast<double>(reading.looks.held) / static_cast<double>(reading.looks.all),
               1e-12);
    CHECK_NEAR(static_cast<double>(reading.held), ledger.held_fraction() * static_cast<double>(end),
               2);

    double mean = 0;
    double variance = 0;
    double square = 0;
    Nanos stratum = 0;
    for (const Nanos length : lengths) {
      const auto weight = static_cast<double>(length / 10'000);
      const double p = static_cast<double>(load.held_between(stratum, stratum + length)) /
                       static_cast<double>(length);
      mean += weight * p;
      variance += weight * weight * p * (1 - p);
      square += weight * weight;
      stratum += length;
    }
    CHECK_EQ(static_cast<double>(reading.looks.squared), square);
    if (variance < 1.5 * square / static_cast<double>(ticks)) return;  // too few are open
    const double deviate = (static_cast<double>(reading.looks.held) - mean) / std::sqrt(variance);
    sum += deviate;
    squares += deviate * deviate;
    ++count;
    short_windows += ticks < 30;
  });
  CHECK(count > 100 && short_windows > 10);
  CHECK_NEAR(sum / std::sqrt(count), 0, 5);
  CHECK_NEAR((squares - count) / std::sqrt(2 * count), 0, 5);
}

// Where waking takes longer than the first strata, most of those are missed. The time that they
// were is that of the looks that came: what they found does not count for less.
TEST(watcher_that_starts_densely_and_late_is_not_biased) {
  const NothingLeft nothing_left;
  constexpr Nanos kUnit = 100'000;
  double off = 0;
  double missed = 0;
  double cases = 0;
  for_seeds(4'000, [&](Random& random) {
    const Nanos end = integer_in(random, 20, 200) * kUnit;
    const Load load({{0, end / 4}});
    const Disturbance late{.late_wakes = 1, .lateness = 2.0 * kUnit};
    Simulation simulation(load, 0, kNever, late, random);
    Ledger ledger(simulation.clock(), 0);
    ledger.begin_run();
    Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                    TickSchedule({64 * kUnit, 0, 0, 6}, 0, random()), 0);
    simulation.run(&watcher, nullptr, end);
    off += ledger.held_fraction() - 0.25;
    missed += static_cast<double>(ledger.read(false).ticks.missed);
    ++cases;
  });
  CHECK(missed / cases > 5);
  CHECK_NEAR(off / cases, 0, 0.02);
}

TEST(watcher_starts_densely_again_after_a_reset) {
  const NothingLeft nothing_left;
  for_seeds(300, [](Random& random) {
    const Load held({{0, kNever}});
    Simulation simulation(held, 0, kNever, {}, random);
    Ledger ledger(simulation.clock(), 0);
    ledger.begin_run();
    Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                    TickSchedule({6'400'000, 0, 0, 6}, 0, random()), 0);
    simulation.run(&watcher, nullptr, integer_in(random, 100'000'000, 1'000'000'000));
    ledger.reset();
    const Nanos reset = simulation.clock().now();
    const Nanos before = watcher.due();  // as a worker asks that is woken
    CHECK(before >= reset && before < reset + 100'000);
    simulation.run(&watcher, nullptr, reset + 1'000'000);
    // 8 at 0.1 ms, 1 more at 0.2.
    const Reading reading = ledger.read(false);
    CHECK(reading.ticks.ticks == 8 || reading.ticks.ticks == 9);
    CHECK_EQ(reading.looks.all, 8 + 2 * (reading.ticks.ticks - 8));
    CHECK_EQ(ledger.held_fraction(), 1.0);
  });
}

// Woken for a tick of before the reset, which it has not been told of yet.
TEST(watcher_drops_a_tick_that_was_due_before_the_reset) {
  const NothingLeft nothing_left;
  double dropped = 0;
  double cases = 0;
  for_seeds(300, [&](Random& random) {
    const Load held({{0, kNever}});
    Simulation simulation(held, 0, kNever, {}, random);
    Ledger ledger(simulation.clock(), 0);
    ledger.begin_run();
    Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                    TickSchedule({6'400'000, 0, 0, 6}, 0, random()), 0);
    simulation.run(&watcher, nullptr, 500'000'000);
    simulation.clock().set(watcher.due());
    ledger.reset();
    simulation.clock().advance(integer_in(random, 0, 100'000));
    watcher.wake(simulation.clock().now());
    const Reading reading = ledger.read(false);
    CHECK_EQ(reading.looks.all, reading.ticks.ticks);  // none of a long stratum
    dropped += reading.ticks.ticks == 0;
    ++cases;
  });
  CHECK(dropped > 0.2 * cases && dropped < 0.8 * cases);
}

TEST(watcher_finds_the_same_at_each_interval) {
  const NothingLeft nothing_left;
  for_seeds(25, [](Random& random) {
    LoadPlan plan = random_plan(1, random);
    plan.hold = log_uniform_in(random, 100'000, 50'000'000);
    plan.think = log_uniform_in(random, 100'000, 50'000'000);
    constexpr Nanos kWindow = 20'000'000'000;
    const Load load = make_load(plan, 0, kWindow, random);
    const double truth = static_cast<double>(load.held_between(0, kWindow)) / kWindow;
    for (const Nanos interval : kIntervals) {
      const std::int64_t ticks = kWindow / interval;
      const double found = held_fraction(watch(load, 0, interval, ticks, random).ticks);
      const double sigma = expected_held(load, 0, interval, ticks).sigma();
      CHECK_NEAR(found, truth, (5 * sigma + 3) / static_cast<double>(ticks));
    }
  });
}

TEST(watcher_does_not_lock_onto_a_period_like_its_interval) {
  const NothingLeft nothing_left;
  for_seeds(200, [](Random& random) {
    const Nanos interval = kIntervals[random() % kIntervals.size()];
    constexpr std::int64_t kTicks = 2'000;
    const double duty = real_in(random, 0.05, 0.95);
    for (const Nanos period : {interval / 2, interval, 2 * interval}) {
      LoadPlan plan;
      plan.hold = static_cast<Nanos>(duty * static_cast<double>(period));
      plan.think = period - plan.hold;
      const Load load = make_load(plan, 0, kTicks * interval, random);
      const double found = held_fraction(watch(load, 0, interval, kTicks, random).ticks);
      CHECK_NEAR(found, duty, 5 * std::sqrt(duty * (1 - duty) / kTicks));
    }
  });
}

// Wake-ups are late now and then, and up to a third of the time is stolen from us: ticks are
// missed, and what was held while nothing of ours ran is nobody's to know. The looks that are left
// are no longer one in each stratum, so the bound is that of as many independent ones, and what
// the missed strata hide.
TEST(watcher_finds_the_held_fraction_of_the_time_it_has) {
  const NothingLeft nothing_left;
  double cases = 0;
  double beyond_three_sigma = 0;
  for_seeds(1'500, [&](Random& random) {
    const Case c(random);
    const Load load = make_load(c.plan, c.start, c.end, random);
    const Disturbance disturbance{
        .late_wakes = real_in(random, 0, 0.5),
        .lateness = real_in(random, 0.01, 0.5) * static_cast<double>(c.interval),
        .stolen = real_in(random, 0, 0.33),
        .longest_theft = integer_in(random, 2, 30) * c.interval};
    Simulation simulation(load, c.start, c.end, disturbance, random);
    Ledger ledger(simulation.clock(), 0);
    ledger.begin_run();
    Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                    TickSchedule({c.interval, 0, 0}, c.start, random()), 0);
    simulation.run(&watcher, nullptr, c.end);
    const TickTally ticks = ledger.read(false).ticks;
    const double truth = simulation.held_fraction_between(c.start, c.end);
    const double sigma = std::sqrt(truth * (1 - truth) / static_cast<double>(ticks.ticks));
    const double off = std::abs(held_fraction(ticks) - truth);
    CHECK_NEAR(off, 0, 0.02 + 5 * sigma);
    ++cases;
    beyond_three_sigma += off > 0.02 + 3 * sigma;
  });
  CHECK_NEAR(beyond_three_sigma / cases, 0, 0.005);
}

TEST(watcher_counts_every_tick_once) {
  const NothingLeft nothing_left;
  TickTally seen;
  for_seeds(500, [&](Random& random) {
    const Case c(random);
    const Load load = make_load(c.plan, c.start, c.end, random);
    const Disturbance disturbance{
        .late_wakes = real_in(random, 0, 1),
        .lateness = real_in(random, 0.01, 1) * static_cast<double>(c.interval),
        .stolen = real_in(random, 0, 0.5),
        .longest_theft = integer_in(random, 2, 30) * c.interval,
        .own_hold = chance(random, 0.5) ? 0 : c.interval / 3};
    const Nanos late_after = log_uniform_in(random, 1, c.interval);
    Simulation simulation(load, c.start, c.end, disturbance, random);
    Ledger ledger(simulation.clock(), 0);
    const std::int64_t run = ledger.begin_run();
    Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                    TickSchedule({c.interval, 0, 0}, c.start, random()), late_after);
    Knocker knocker(simulation.gil(), simulation.clock(), ledger, run,
                    TickSchedule({3 * c.interval, 0, 0}, c.start, random()), {});
    knocker.give(simulation.gil().open_state());
    knocker.begin();
    simulation.run(&watcher, &knocker, c.end);
    simulation.set_gil_enabled(false);
    simulation.run(&watcher, nullptr, simulation.clock().now() + 10 * c.interval);

    const TickTally ticks = ledger.read(false).ticks;
    CHECK_EQ(ticks.ticks, simulation.looks().ticks);
    CHECK_EQ(ticks.held, simulation.looks().held);
    CHECK_EQ(ticks.own, simulation.looks().own);
    CHECK_EQ(ticks.disabled, simulation.looks().disabled);
    CHECK(disturbance.own_hold > 0 || ticks.own == 0);
    // Strata passed are ticks looked at or missed: none is lost, none counted twice.
    CHECK_EQ(ticks.ticks + ticks.missed, (watcher.due() - c.start) / c.interval);
    CHECK_EQ(ticks.late,
             std::count_if(simulation.watcher_wakes().begin(), simulation.watcher_wakes().end(),
                           [&](const Wake& wake) { return wake.at - wake.due > late_after; }));
    seen.own += ticks.own;
    seen.disabled += ticks.disabled;
    seen.missed += ticks.missed;
  });
  CHECK(seen.own > 100 && seen.disabled > 100 && seen.missed > 100);
}

TEST(watcher_accounts_for_its_cpu_time) {
  const NothingLeft nothing_left;
  Random random(1);
  const Load idle({});
  Simulation simulation(idle, 0, kNever, {}, random);
  Ledger ledger(simulation.clock(), 0);
  ledger.begin_run();
  Watcher watcher(simulation.gil(), simulation.clock(), ledger,
                  TickSchedule({1'000'000, 0, 0}, 0, 1), 0);
  simulation.run(&watcher, nullptr, 1'000'000'000);
  const Nanos until_now = 1'000'000'000 / FakeClock::kNanosPerCpu;
  CHECK(ledger.read(false).cpu <= until_now);
  CHECK(ledger.read(false).cpu > until_now / 2);
  watcher.end();
  CHECK_EQ(ledger.read(false).cpu, until_now);
}

TEST(watcher_says_whether_the_short_slice_took) {
  const NothingLeft nothing_left;
  std::thread([] {  // begin() changes the thread that it runs on
    Random random(1);
    const Load idle({});
    Simulation simulation(idle, 0, 1, {}, random);
    Ledger ledger(simulation.clock(), 0);
    Watcher watcher(simulation.gil(), simulation.clock(), ledger, TickSchedule({1'000, 0, 0}, 0, 1),
                    0);
    watcher.begin();
    CHECK_EQ(ledger.read(false).slice_active, this_thread::ask_for_short_slice());
  })
      .join();
}

}  // namespace
}  // namespace gilknocker
