#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <vector>

#include "check.hpp"
#include "gilknocker/knocker.hpp"
#include "load.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"
#include "statistics.hpp"

namespace gilknocker {
namespace {

constexpr std::size_t kAllWaits = 1'000'000;

Disturbance random_disturbance(Nanos interval, Random& random) {
  return {.late_wakes = real_in(random, 0, 0.5),
          .lateness = real_in(random, 0.01, 2) * static_cast<double>(interval),
          .stolen = real_in(random, 0, 0.4),
          .longest_theft = integer_in(random, 2, 30) * interval,
          .wake_latency = integer_in(random, 0, 60'000),
          .preempted = real_in(random, 0, 0.2),
          .own_hold = integer_in(random, 0, 20'000),
          .cannot_tell = chance(random, 0.3)};
}

SchedulePlan random_schedule(Random& random) {
  SchedulePlan plan;
  plan.interval = log_uniform_in(random, 50'000, 50'000'000);
  if (chance(random, 0.5)) {
    plan.ticks_per_burst = integer_in(random, 1, 50);
    plan.burst_rest = log_uniform_in(random, 1, 100 * plan.interval);
  }
  return plan;
}

// Of not too many holds between two knocks.
LoadPlan affordable_plan(Nanos interval, Random& random) {
  LoadPlan plan = random_plan(interval, random);
  while (plan.period() < interval / 50) plan = random_plan(interval, random);
  return plan;
}

// A knocker at a random load, up to some hundred knocks.
struct Knocked {
  Knocked(SchedulePlan schedule, std::optional<Disturbance> disturbance, KnockAsLook as_look,
          std::size_t log_capacity, Random& random)
      : plan(schedule),
        start(integer_in(random, 0, 1'000'000'000'000'000)),
        end(start + 300 * plan.interval + 2 * plan.burst_rest),
        load(make_load(affordable_plan(plan.interval, random), start, end, random)),
        simulation(load, start, end,
                   disturbance ? *disturbance : random_disturbance(plan.interval, random), random),
        ledger(simulation.clock(), log_capacity, as_look),
        knocker(simulation.gil(), simulation.clock(), ledger, ledger.begin_run(),
                TickSchedule(plan, start, random()), as_look) {
    knocker.give(simulation.gil().open_state());
    knocker.begin();
  }

  void run() { simulation.run(nullptr, &knocker, end); }

  SchedulePlan plan;
  Nanos start;
  Nanos end;
  Load load;
  Simulation simulation;
  Ledger ledger;
  Knocker knocker;
};

TEST(knock_waits_for_the_rest_of_the_hold) {
  const NothingLeft nothing_left;
  std::int64_t blocked = 0;
  for_seeds(400, [&](Random& random) {
    Knocked at(random_schedule(random), Disturbance{}, {}, kAllWaits, random);
    at.run();
    const WaitView view = at.ledger.waits();
    std::vector<Nanos> waits(view.size());
    std::vector<Nanos> times(view.size());
    view.copy_waits(waits.data());
    view.copy_times(times.data());
    auto hold = at.load.holds().begin();  // both lists ascend: no search that could err alike
    for (std::size_t i = 0; i < waits.size(); ++i) {
      while (hold != at.load.holds().end() && hold->to <= times[i]) ++hold;
      const bool held = hold != at.load.holds().end() && hold->from <= times[i];
      CHECK_EQ(waits[i], held ? hold->to - times[i] : 0);
      blocked += held;
    }
  });
  CHECK(blocked > 100);
}

TEST(knocks_agree_with_a_naive_model) {
  const NothingLeft nothing_left;
  for_seeds(600, [](Random& random) {
    const std::size_t capacity = static_cast<std::size_t>(integer_in(random, 0, 200));
    Knocked at(random_schedule(random), std::nullopt, {}, capacity, random);
    at.run();
    const std::vector<SeenKnock>& knocks = at.simulation.knocks();
    KnockTally model;
    Nanos floor = kNever;
    std::map<std::size_t, std::int64_t> histogram;
    for (const SeenKnock& knock : knocks) {
      const Nanos wait = knock.got - knock.asked;
      ++model.knocks;
      model.wait_total += wait;
      model.wait_max = std::max(model.wait_max, wait);
      floor = std::min(floor, wait);
      ++histogram[WaitHistogram::bucket_of(wait)];
    }
    const Reading reading = at.ledger.read(true);
    CHECK_EQ(reading.knocks.knocks, model.knocks);
    CHECK_EQ(reading.knocks.wait_total, model.wait_total);
    CHECK_EQ(reading.knocks.wait_max, model.wait_max);
    CHECK_EQ(reading.floor.value_or(kNever), floor);
    CHECK_EQ(reading.in_flight, 0);
    CHECK_EQ(reading.ticks.ticks + reading.ticks.missed, 0);  // looks are the watcher's
    if (!CHECK_EQ(reading.histogram.size(), histogram.size())) return;
    auto expected = histogram.begin();
    for (const HistogramBucket& bucket : reading.histogram) {
      CHECK_EQ(bucket.bucket, expected->first);
      CHECK_EQ(bucket.count, expected->second);
      ++expected;
    }
    REQUIRE(reading.waits->size() == std::min(capacity, knocks.size()));
    std::vector<Nanos> waits(reading.waits->size());
    std::vector<Nanos> times(reading.waits->size());
    reading.waits->copy_waits(waits.data());
    reading.waits->copy_times(times.data());
    for (std::size_t i = 0; i < waits.size(); ++i) {
      const SeenKnock& knock = knocks[knocks.size() - waits.size() + i];
      CHECK_EQ(waits[i], knock.got - knock.asked);
      CHECK_EQ(times[i], knock.asked);
    }
  });
}

TEST(knocks_due_are_made_or_missed) {
  const NothingLeft nothing_left;
  for_seeds(400, [](Random& random) {
    Knocked at(random_schedule(random), std::nullopt, {}, 0, random);
    at.run();
    const KnockTally knocks = at.ledger.read(false).knocks;
    const Nanos since = at.knocker.due() - at.start;
    if (at.plan.ticks_per_burst == 0) {
      CHECK_EQ(knocks.knocks + knocks.missed, since / at.plan.interval);
    } else {
      const std::int64_t per_burst = at.plan.ticks_per_burst;
      const Nanos period = per_burst * at.plan.interval + at.plan.burst_rest;
      CHECK(knocks.knocks + knocks.missed >= since / period * per_burst);
      CHECK(knocks.knocks + knocks.missed < (since / period + 1) * per_burst);
    }
  });
}

TEST(knocks_observe_no_moment_twice) {
  const NothingLeft nothing_left;
  for_seeds(600, [](Random& random) {
    Knocked at(random_schedule(random), std::nullopt, {}, 0, random);
    at.run();
    if (at.simulation.knocks().empty()) return;
    const KnockTally knocks = at.ledger.read(false).knocks;
    const Nanos until_last = at.simulation.knocks().back().got - at.start;
    if (at.plan.ticks_per_burst == 0) CHECK_EQ(knocks.observed, until_last);
    CHECK(knocks.observed <= until_last);
    CHECK(knocks.observed >= knocks.wait_total);
  });
}

TEST(knocks_leave_the_rest_between_bursts_out) {
  const NothingLeft nothing_left;
  for_seeds(50, [](Random& random) {
    SchedulePlan plan = random_schedule(random);
    plan.ticks_per_burst = integer_in(random, 5, 50);
    plan.burst_rest = 20 * plan.interval;
    const Load idle({});
    Simulation simulation(idle, 0, kNever, {}, random);
    Ledger ledger(simulation.clock(), 0);
    Knocker knocker(simulation.gil(), simulation.clock(), ledger, ledger.begin_run(),
                    TickSchedule(plan, 0, random()), {});
    knocker.give(simulation.gil().open_state());
    knocker.begin();
    const Nanos period = plan.ticks_per_burst * plan.interval + plan.burst_rest;
    simulation.run(nullptr, &knocker, 40 * period);
    const KnockTally knocks = ledger.read(false).knocks;
    CHECK_EQ(knocks.missed, 0);
    // A burst is observed from its start to its last knock, which is in its last interval.
    const Nanos most = 40 * plan.ticks_per_burst * plan.interval;
    CHECK(knocks.observed <= most && knocks.observed > most - 40 * plan.interval);
  });
}

// Knocks that answer for looks, through a window of `count` strata.
struct KnockedAsLooks {
  KnockedAsLooks(const LoadPlan& plan, Nanos each, std::int64_t count, Disturbance disturbance,
                 Random& random)
      : interval(each),
        load(make_load(plan, 0, count * interval, random)),
        simulation(load, 0, count * interval, disturbance, random) {
    Ledger ledger(simulation.clock(), 0);
    Knocker knocker(simulation.gil(), simulation.clock(), ledger, ledger.begin_run(),
                    TickSchedule({interval, 0, 0}, 0, random()), {true, kContendedAfter, interval});
    knocker.give(simulation.gil().open_state());
    knocker.begin();
    simulation.run(nullptr, &knocker, count * interval);
    ticks = ledger.read(false).ticks;
    strata = knocker.due() / interval;
    CHECK_EQ(ticks.ticks + ticks.missed, strata);
    CHECK_EQ(ticks.own + ticks.late + ticks.disabled, 0);
    // A knock under way at the end is waited for, and its ticks with it.
    truth = simulation.held_fraction_between(0, simulation.clock().now());
  }

  static constexpr Nanos kContendedAfter = 50'000;

  Nanos interval;
  Load load;
  Simulation simulation;
  TickTally ticks;
  std::int64_t strata = 0;
  double truth = 0;
};

// Where the system tells whether a knock had to wait, and nothing disturbs, knocks see what looks
// see: one look in each stratum, made by a knock or passed under one that waits.
TEST(knock_as_look_finds_the_held_fraction) {
  const NothingLeft nothing_left;
  HeldCounts counts;
  for_seeds(1'000, [&](Random& random) {
    const Nanos interval = log_uniform_in(random, 100'000, 10'000'000);
    const KnockedAsLooks at(affordable_plan(interval, random), interval, 500, {}, random);
    CHECK_EQ(at.ticks.ticks, at.strata);
    counts.add(at.ticks.held, expected_held(at.load, 0, interval, at.strata));
  });
  counts.check_together();
}

TEST(knock_as_look_finds_half_of_fifty_milliseconds) {
  const NothingLeft nothing_left;
  for_seeds(20, [](Random& random) {
    const LoadPlan plan{.threads = 1, .hold = 50'000'000, .think = 50'000'000};
    for (const Nanos interval : {1'000'000, 5'000'000, 10'000'000, 50'000'000, 100'000'000}) {
      const KnockedAsLooks at(plan, interval, 1'000, {}, random);
      const double sigma = expected_held(at.load, 0, interval, at.strata).sigma();
      CHECK_NEAR(at.truth, 0.5, 0.03);
      CHECK_NEAR(held_fraction(at.ticks), at.truth, (5 * sigma + 3) / 1'000);
    }
  });
}

// Each hold that a knock waits out seems longer by the knocker's wake-up, and each that it cannot
// tell from a slow machine shorter by contended_after: so it errs by as much a period.
TEST(knock_as_look_errs_by_its_wake_ups_and_its_threshold) {
  const NothingLeft nothing_left;
  for_seeds(500, [](Random& random) {
    const Nanos interval = log_uniform_in(random, 200'000, 10'000'000);
    const LoadPlan plan{.threads = 1,
                        .hold = log_uniform_in(random, 500'000, 50'000'000),
                        .think = log_uniform_in(random, 500'000, 50'000'000),
                        .exponential = true};
    const Disturbance disturbance{
        .late_wakes = 0.3,
        .lateness = 0.2 * static_cast<double>(interval),
        .wake_latency = integer_in(random, 0, KnockedAsLooks::kContendedAfter),
        .cannot_tell = chance(random, 0.5)};
    const KnockedAsLooks at(plan, interval, 1'000, disturbance, random);
    const double per_period =
        static_cast<double>(KnockedAsLooks::kContendedAfter) / static_cast<double>(plan.period());
    const double sigma = std::sqrt(at.truth * (1 - at.truth) / static_cast<double>(at.strata));
    CHECK_NEAR(held_fraction(at.ticks), at.truth, 5 * sigma + per_period);
  });
}

TEST(knock_as_look_blames_only_waits_on_the_gil) {
  const NothingLeft nothing_left;
  for_seeds(50, [](Random& random) {  // an idle GIL, and a machine that is busy with others
    const Load idle({});
    const Disturbance disturbance{.longest_theft = 20'000'000, .preempted = 0.5};
    Simulation simulation(idle, 0, 1'000'000'000, disturbance, random);
    Ledger ledger(simulation.clock(), 0);
    Knocker knocker(simulation.gil(), simulation.clock(), ledger, ledger.begin_run(),
                    TickSchedule({1'000'000, 0, 0}, 0, random()), {true, 50'000, 1'000'000});
    knocker.give(simulation.gil().open_state());
    knocker.begin();
    simulation.run(nullptr, &knocker, 1'000'000'000);
    const TickTally ticks = ledger.read(false).ticks;
    CHECK_EQ(ticks.held, 0);
    CHECK(ticks.missed > 0);
    CHECK_EQ(ticks.ticks + ticks.missed, knocker.due() / 1'000'000);
  });
}

TEST(counts_only_grow_whatever_was_told_of_a_knock_under_way) {
  const NothingLeft nothing_left;
  std::int64_t promises = 0;
  for_seeds(300, [&](Random& random) {
    const SchedulePlan plan{log_uniform_in(random, 50'000, 5'000'000), 0, 0};
    const KnockAsLook as_look{true, log_uniform_in(random, 1, plan.interval), plan.interval};
    Knocked at(plan, std::nullopt, as_look, 0, random);
    TickTally before;
    at.simulation.observe = [&] {
      const Reading reading = at.ledger.read(false);
      promises += as_look.under_way(reading.in_flight).ticks;
      CHECK(reading.ticks.ticks >= before.ticks && reading.ticks.held >= before.held);
      before = reading.ticks;
    };
    at.run();
  });
  CHECK(promises > 100);
}

}  // namespace
}  // namespace gilknocker
