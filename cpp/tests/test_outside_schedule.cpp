#include <array>
#include <cmath>
#include <cstdint>

#include "check.hpp"
#include "gilknocker/outside_schedule.hpp"
#include "gilknocker/tick_schedule.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kMillisecond = 1'000'000;
constexpr int kTicks = 20'000;

TEST(gaps_are_exponential_and_independent) {
  for_seeds(20, [](Random& random) {
    const Nanos interval = log_uniform_in(random, 10'000, 1'000'000'000);
    OutsideSchedule schedule(interval, random());
    schedule.begin(0);
    std::array<std::int64_t, 64> bins{};
    double product = 0;
    double before = 0;
    Nanos last = 0;
    for (int tick = 0; tick < kTicks; ++tick) {
      const double gap = static_cast<double>(schedule.due() - last);
      const double u = 1 - std::exp(-gap / static_cast<double>(interval));  // uniform in [0, 1)
      ++bins[std::min<std::size_t>(static_cast<std::size_t>(u * 64), 63)];
      product += (u - 0.5) * before;
      before = u - 0.5;
      last = schedule.due();
      CHECK_EQ(schedule.advance_past(last), 0);
      CHECK(schedule.due() > last);
    }
    double off = 0;
    for (const std::int64_t count : bins)
      off += std::pow(static_cast<double>(count) - kTicks / 64., 2);
    CHECK_NEAR((off / (kTicks / 64.) - 63) / std::sqrt(2 * 63.), 0, 6);
    CHECK_NEAR(product / kTicks * 12 * std::sqrt(kTicks), 0, 5);
  });
}

TEST(what_is_late_has_missed_as_many_as_would_have_been_due) {
  OutsideSchedule schedule(kMillisecond, 1);
  schedule.begin(0);
  std::int64_t missed = 0;
  for (int tick = 0; tick < kTicks; ++tick) {
    const Nanos now = schedule.due() + kMillisecond / 2;
    missed += schedule.advance_past(now);
    CHECK(schedule.due() > now);
  }
  CHECK_NEAR(static_cast<double>(missed) / kTicks, 0.5, 0.03);
}

TEST(a_year_of_suspend_is_passed_at_once) {
  constexpr Nanos kYear = 365LL * 24 * 3600 * 1'000'000'000;
  OutsideSchedule schedule(10'000, 1);
  schedule.begin(kYear);
  const std::int64_t missed = schedule.advance_past(2 * kYear);
  CHECK_NEAR(static_cast<double>(missed) / (kYear / 10'000.), 1, 0.001);
  CHECK(schedule.due() > 2 * kYear && schedule.due() < 2 * kYear + kMillisecond);
}

TEST(gaps_of_centuries_are_never_over) {
  OutsideSchedule schedule(kNever / 2, 1);
  schedule.begin(0);
  CHECK(schedule.due() > 0);
  schedule.advance_past(0);
  CHECK(schedule.due() > 0);
}

// A program that each look disturbs: it lets the GIL go, and takes it again half an interval later.
// Returns the share of looks that find it held, less the share of time that it is.
template <typename Schedule>
double error(Schedule schedule) {
  constexpr Nanos kFree = kMillisecond / 2;
  Nanos disturbed = 0;
  Nanos free = 0;
  double held = 0;
  for (int tick = 0; tick < kTicks; ++tick) {
    const Nanos now = schedule.due();
    held += now >= disturbed + kFree;
    free += std::min(kFree, now - disturbed);
    disturbed = now;
    schedule.advance_past(now);
  }
  return held / kTicks - (1 - static_cast<double>(free) / static_cast<double>(disturbed));
}

TEST(looks_that_disturb_find_what_is_so_all_the_time) {
  OutsideSchedule schedule(kMillisecond, 1);
  schedule.begin(0);
  CHECK_NEAR(error(schedule), 0, 0.015);
  CHECK(error(TickSchedule({kMillisecond, 0, 0}, 0, 1)) >
        0.25);  // as a look has it in each interval
}

}  // namespace
}  // namespace gilknocker
