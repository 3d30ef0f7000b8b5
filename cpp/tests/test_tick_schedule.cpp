#include <array>
#include <cmath>
#include <vector>

#include "check.hpp"
#include "gilknocker/tick_schedule.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kYear = 365LL * 24 * 3600 * 1'000'000'000;

// Pearson's statistic of counts that should be equal, in standard deviations from its mean.
template <std::size_t kBins>
double unevenness(const std::array<std::int64_t, kBins>& counts) {
  double total = 0;
  for (const std::int64_t count : counts) total += static_cast<double>(count);
  const double expected = total / static_cast<double>(kBins);
  double sum = 0;
  for (const std::int64_t count : counts) {
    const double off = static_cast<double>(count) - expected;
    sum += off * off / expected;
  }
  constexpr double freedom = kBins - 1;
  return (sum - freedom) / std::sqrt(2 * freedom);
}

TEST(schedule_has_one_tick_in_each_stratum) {
  for_seeds(500, [](Random& random) {
    const Nanos interval = log_uniform_in(random, 1, 100'000'000'000);
    const Nanos base = integer_in(random, 0, kYear);
    TickSchedule schedule({interval, 0, 0}, base, random());
    CHECK_EQ(schedule.opening(), base);
    for (Nanos stratum = base; stratum < base + 200 * interval; stratum += interval) {
      CHECK(stratum <= schedule.due() && schedule.due() < stratum + interval);
      CHECK_EQ(schedule.advance_past(schedule.due()), 0);
      CHECK_EQ(schedule.opening(), kNever);
    }
  });
}

TEST(schedule_is_uniform_and_independent_within_strata) {
  for_seeds(20, [](Random& random) {
    constexpr int kTicks = 20'000;
    const Nanos interval = log_uniform_in(random, 10'000, 1'000'000'000);
    TickSchedule schedule({interval, 0, 0}, 0, random());
    std::array<std::int64_t, 64> bins{};
    double product = 0;
    double before = 0;
    for (Nanos stratum = 0; stratum < kTicks * interval; stratum += interval) {
      const double u =
          static_cast<double>(schedule.due() - stratum) / static_cast<double>(interval);
      ++bins[static_cast<std::size_t>(u * 64)];
      product += (u - 0.5) * before;
      before = u - 0.5;
      schedule.advance_past(schedule.due());
    }
    CHECK_NEAR(unevenness(bins), 0, 6);
    CHECK_NEAR(product / kTicks * 12 * std::sqrt(kTicks), 0, 5);  // neighbours' correlation
  });
}

TEST(dense_start_has_eight_strata_of_each_length) {
  for_seeds(500, [](Random& random) {
    const int dense = static_cast<int>(integer_in(random, 1, TickSchedule::kMostDense));
    const Nanos interval = log_uniform_in(random, 1 << dense, 100'000'000'000);
    const Nanos base = integer_in(random, 0, kYear);
    TickSchedule schedule({interval, 0, 0, dense}, base, random());
    for (int round = 0; round < 2; ++round) {
      Nanos stratum = base + round * kYear;
      if (round == 1) schedule.restart(stratum);
      for (int tick = 0; tick < 8 * dense + 20; ++tick) {
        const int level = std::min(tick / 8, dense);
        const Nanos length = interval >> (dense - level);
        CHECK(stratum <= schedule.due() && schedule.due() < stratum + length);
        CHECK_EQ(schedule.advance_past(schedule.due()), 0);
        CHECK_EQ(schedule.passed_weight(), 1 << level);
        stratum += length;
      }
    }
  });
}

TEST(dense_start_counts_every_tick_that_passes) {
  for_seeds(300, [](Random& random) {
    const int dense = static_cast<int>(integer_in(random, 1, 8));
    const Nanos interval = log_uniform_in(random, 1 << dense, 1'000'000'000);
    const Nanos base = integer_in(random, 0, kYear);
    TickSchedule schedule({interval, 0, 0, dense}, base, random());
    const auto stratum_of = [&](Nanos instant) {  // by a model that walks
      std::int64_t tick = 0;
      for (Nanos end = base;; ++tick) {
        end += interval >> (dense - std::min<std::int64_t>(tick / 8, dense));
        if (instant < end) return tick;
      }
    };
    Nanos now = base;
    std::int64_t passed = 0;
    for (int i = 0; i < 30; ++i) {
      now += log_uniform_in(random, 1, 5 * interval);
      passed += 1 + schedule.advance_past(now);
      CHECK_EQ(passed, stratum_of(schedule.due()));
      CHECK(schedule.due() > now || i == 0 || passed == 1 || stratum_of(now) < passed);
      CHECK(passed <= std::max(stratum_of(now), passed - 1) + 1);
    }
    schedule.advance_past(base + kYear);  // at once
    CHECK(schedule.due() > base + kYear && schedule.due() < base + kYear + 2 * interval);
  });
}

TEST(dense_tick_stands_for_those_that_were_missed_after_it) {
  TickSchedule schedule({6'400, 0, 0, 6}, 0, 1);
  CHECK(schedule.advance_past(399) >= 2);  // the first four strata of 100 are over, or all but one
  CHECK(schedule.passed_weight() == 3 || schedule.passed_weight() == 4);
  schedule.advance_past(1'000'000);
  CHECK_EQ(schedule.passed_weight(), 64);
  schedule.restart(2'000'000);
  CHECK_EQ(schedule.advance_past(schedule.due()), 0);
  CHECK_EQ(schedule.passed_weight(), 1);
  TickSchedule even({6'400, 0, 0}, 0, 1);
  even.advance_past(1'000'000);
  CHECK_EQ(even.passed_weight(), 1);
}

TEST(schedules_of_one_seed_are_equal_and_of_two_are_not) {
  TickSchedule one({1'000'000, 0, 0}, 0, 7);
  TickSchedule same({1'000'000, 0, 0}, 0, 7);
  TickSchedule other({1'000'000, 0, 0}, 0, 8);
  int equal_to_other = 0;
  for (int i = 0; i < 100; ++i) {
    CHECK_EQ(one.due(), same.due());
    equal_to_other += one.due() == other.due();
    for (TickSchedule* schedule : {&one, &same, &other}) schedule->advance_past(schedule->due());
  }
  CHECK(equal_to_other < 5);
}

TEST(bursts_tick_only_within_and_start_anywhere_in_the_rest) {
  for_seeds(20, [](Random& random) {
    SchedulePlan plan;
    plan.interval = log_uniform_in(random, 1'000, 10'000'000);
    plan.ticks_per_burst = integer_in(random, 1, 20);
    plan.burst_rest = integer_in(random, 64, 100 * plan.interval);
    const Nanos base = integer_in(random, 0, kYear);
    const Nanos period = plan.ticks_per_burst * plan.interval + plan.burst_rest;
    TickSchedule schedule(plan, base, random());
    std::array<std::int64_t, 16> starts{};
    for (Nanos burst = base; burst < base + 4'000 * period; burst += period) {
      const Nanos start = schedule.opening();
      if (!CHECK(burst <= start && start < burst + plan.burst_rest)) return;
      ++starts[static_cast<std::size_t>(16 * (start - burst) / plan.burst_rest)];
      for (std::int64_t tick = 0; tick < plan.ticks_per_burst; ++tick) {
        const Nanos stratum = start + tick * plan.interval;
        CHECK(stratum <= schedule.due() && schedule.due() < stratum + plan.interval);
        CHECK_EQ(schedule.opening() != kNever, tick == 0);
        CHECK_EQ(schedule.advance_past(schedule.due()), 0);
      }
    }
    CHECK_NEAR(unevenness(starts), 0, 8);
  });
}

TEST(bursts_without_rest_follow_each_other) {
  TickSchedule schedule({1'000, 3, 0}, 500, 1);
  for (Nanos tick = 0; tick < 30; ++tick) {
    CHECK_EQ(schedule.opening(), tick % 3 == 0 ? 500 + 1'000 * tick : kNever);
    CHECK_EQ((schedule.due() - 500) / 1'000, tick);
    schedule.advance_past(schedule.due());
  }
}

TEST(schedule_advances_to_the_first_tick_after_now) {
  // Of the tick in `now`'s own stratum that is all one can say: it has passed with the chance that
  // its uniform instant lies in the part that has. The sum of many such cases must fit.
  double surplus = 0;
  double variance = 0;
  for_seeds(300, [&](Random& random) {
    const Nanos interval = log_uniform_in(random, 1, 1'000'000'000);
    const Nanos base = integer_in(random, 0, kYear);
    TickSchedule schedule({interval, 0, 0}, base, random());
    Nanos now = base;
    std::int64_t passed = 0;  // by a model that only counts strata
    for (int i = 0; i < 100; ++i) {
      const Nanos armed = (schedule.due() - base) / interval;
      now += log_uniform_in(random, 1, 50 * interval + 1);
      const Nanos stratum = (now - base) / interval;
      passed += 1 + schedule.advance_past(now);
      const Nanos next = (schedule.due() - base) / interval;
      CHECK_EQ(passed, next);
      CHECK(next > armed);
      CHECK(schedule.due() > now || next == armed + 1);
      CHECK(next >= stratum);
      CHECK(next <= std::max(stratum, armed) + 1);
      if (armed < stratum) {
        const double gone =
            static_cast<double>((now - base) % interval + 1) / static_cast<double>(interval);
        surplus += (next == stratum ? 1 : 0) - (1 - gone);
        variance += gone * (1 - gone);
      }
    }
  });
  CHECK_NEAR(surplus / std::sqrt(variance), 0, 5);
}

TEST(bursts_count_every_tick_that_passes) {
  for_seeds(300, [](Random& random) {
    SchedulePlan plan;
    plan.interval = log_uniform_in(random, 1, 10'000'000);
    plan.ticks_per_burst = integer_in(random, 1, 20);
    plan.burst_rest = integer_in(random, 0, 50 * plan.interval);
    const Nanos base = integer_in(random, 0, kYear);
    const Nanos period = plan.ticks_per_burst * plan.interval + plan.burst_rest;
    TickSchedule schedule(plan, base, random());
    Nanos start = schedule.opening();
    Nanos now = base;
    std::int64_t passed = 0;
    for (int i = 0; i < 100; ++i) {
      now += log_uniform_in(random, 1, 3 * period);
      passed += 1 + schedule.advance_past(now);
      const Nanos burst = (schedule.due() - base) / period;
      // The start of a burst is told with the first of its ticks that is armed.
      const bool told = schedule.opening() != kNever;
      CHECK_EQ(told, (start - base) / period != burst);
      if (told) start = schedule.opening();
      CHECK_EQ(passed, burst * plan.ticks_per_burst + (schedule.due() - start) / plan.interval);
      CHECK(schedule.due() > now || now < base + period);
    }
  });
}

TEST(schedule_of_huge_intervals_never_wraps) {
  for_seeds(2'000, [](Random& random) {
    const auto huge = [&] { return kNever - log_uniform_in(random, 1, kNever / 2); };
    SchedulePlan plan;
    plan.interval = huge();
    plan.ticks_per_burst = chance(random, 0.5) ? 0 : log_uniform_in(random, 1, kNever);
    plan.burst_rest = plan.ticks_per_burst == 0 ? 0 : huge();
    const Nanos base = integer_in(random, 0, kYear);
    TickSchedule schedule(plan, base, random());
    Nanos due = schedule.due();
    for (int i = 0; i < 10; ++i) {
      CHECK(schedule.due() >= base);
      CHECK(schedule.due() >= due);
      due = schedule.due();
      CHECK(schedule.advance_past(std::min(due, kNever - 1)) >= 0);
    }
    CHECK_EQ(schedule.due(), kNever);
  });
}

TEST(schedule_passes_a_year_of_suspend_at_once) {
  // Walking through 3e12 ticks would take hours.
  for_seeds(100, [](Random& random) {
    const Nanos base = integer_in(random, 0, kYear);
    TickSchedule ticks({10'000, 0, 0}, base, random());
    const std::int64_t missed = ticks.advance_past(base + kYear);
    CHECK(missed == kYear / 10'000 - 1 || missed == kYear / 10'000);
    CHECK(ticks.due() > base + kYear && ticks.due() < base + kYear + 20'000);

    TickSchedule long_bursts({10'000, kYear / 20'000, kYear / 4}, base, random());
    long_bursts.advance_past(base + kYear / 2);
    CHECK(long_bursts.due() > base + kYear / 2);
    CHECK(long_bursts.due() < base + kYear / 2 + 20'000);

    TickSchedule bursts({10'000, 1'000, 90'000'000}, base, random());
    bursts.advance_past(base + kYear);
    CHECK(bursts.due() > base + kYear && bursts.due() < base + kYear + 200'000'000);
  });
}

}  // namespace
}  // namespace gilknocker
