#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <thread>

#include "blocking_gil.hpp"
#include "check.hpp"
#include "failing_memory.hpp"
#include "gilknocker/sampler.hpp"
#include "nothing_left.hpp"
#include "thread_limit.hpp"

namespace gilknocker {
namespace {

const SystemClock the_clock;

constexpr Nanos kMillisecond = 1'000'000;
constexpr Nanos kHour = 3'600'000 * kMillisecond;
constexpr Nanos kPatience = 20'000 * kMillisecond;  // for what comes at once on any machine

SamplerPlan plan_of(Nanos tick_interval, Nanos knock_interval) {
  SamplerPlan plan;
  plan.interval = tick_interval;
  plan.knocks = {knock_interval, 0, 0};
  plan.late_after = 50'000;
  plan.contended_after = 50'000;
  plan.log_capacity = 10'000;
  return plan;
}

const SamplerPlan kQuick = plan_of(kMillisecond / 5, kMillisecond / 2);

bool eventually_knocks(const Sampler& sampler, std::int64_t more_than) {
  return eventually([&] { return sampler.read(false).knocks.knocks > more_than; });
}

TEST(sampler_starts_and_stops_any_number_of_times) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  Sampler sampler(gil, the_clock, kQuick);
  CHECK(sampler.stop(0));
  CHECK(!sampler.is_running());
  for (int i = 0; i < 3; ++i) {
    const std::int64_t before = sampler.read(false).knocks.knocks;
    const Nanos observed = sampler.read(false).observed;
    start(sampler, gil);
    start(sampler, gil);
    CHECK(sampler.is_running());
    CHECK_EQ(gil.states_occupied() <= i + 1, true);
    CHECK(eventually_knocks(sampler, before + 5));
    CHECK(eventually([&] { return sampler.read(false).ticks.ticks > 5 * (i + 1); }));
    CHECK(sampler.stop(kPatience));
    CHECK(sampler.stop(kPatience));
    CHECK(!sampler.is_running());
    CHECK_EQ(gil.states_open(), 0);
    const Reading reading = sampler.read(true);
    CHECK_EQ(reading.epoch, 0);  // a restart goes on
    CHECK(reading.observed > observed);
    CHECK_EQ(reading.in_flight, 0);
    CHECK_EQ(static_cast<std::int64_t>(reading.waits->size()), reading.knocks.knocks);
    CHECK_EQ(sampler.read(false).observed, reading.observed);  // and a stop stands still
    CHECK_EQ(sampler.read(false).ticks.ticks, reading.ticks.ticks);
  }
}

TEST(samplers_have_ids_of_their_own) {
  BlockingGil gil;
  const Sampler one(gil, the_clock, kQuick);
  const Sampler other(gil, the_clock, kQuick);
  CHECK(one.id() != other.id());
}

TEST(sampler_sees_who_holds_the_gil) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  Sampler sampler(gil, the_clock, plan_of(kMillisecond / 5, kHour));
  CHECK(sampler.looks());
  start(sampler, gil);
  CHECK(eventually([&] { return sampler.read(false).ticks.ticks > 10; }));
  CHECK_EQ(sampler.held_fraction(), 0.0);
  {
    const Held held(gil);
    sampler.reset();
    CHECK(eventually([&] { return sampler.read(false).ticks.ticks > 10; }));
    CHECK_EQ(sampler.held_fraction(), 1.0);
    double fraction = 0;
    CHECK(eventually([&] { return sampler.try_held_fraction(&fraction); }));
    CHECK_EQ(fraction, 1.0);
  }
  CHECK(eventually([&] { return sampler.try_reset(); }));
  CHECK_EQ(sampler.read(false).epoch, 2);
  CHECK(sampler.stop(kPatience));
  CHECK_EQ(sampler.read(false).ticks.held, 0);
}

TEST(sampler_wakes_its_watcher_to_look_densely_after_a_reset) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  SamplerPlan plan = plan_of(100 * kMillisecond, kHour);
  plan.dense_start = 10;  // from 0.1 ms on
  Sampler sampler(gil, the_clock, plan);
  start(sampler, gil);
  const auto looked = [&] { return sampler.read(false).ticks; };
  CHECK(eventually([&] { return looked().ticks + looked().missed > 80; }));
  const std::int64_t before = looked().ticks;
  CHECK(eventually([&] { return looked().ticks > before; }));
  sampler.reset();  // now it sleeps for 100 ms, which would be 50 short strata
  CHECK(eventually([&] { return looked().ticks > 0; }));
  CHECK(looked().missed <= 40);
  CHECK(sampler.stop(kPatience));
  sampler.reset();
}

TEST(sampler_lets_knocks_answer_where_it_cannot_look) {
  const NothingLeft nothing_left;
  for (const bool can_look : {true, false}) {
    BlockingGil gil(can_look);
    SamplerPlan plan = plan_of(kMillisecond / 5, kHour);
    plan.look = !can_look;
    Sampler sampler(gil, the_clock, plan);
    CHECK(!sampler.looks());
    start(sampler, gil);
    CHECK(eventually_knocks(sampler, 5));  // at the ticks' interval
    {
      const Held held(gil);
      CHECK(eventually([&] { return gil.waiting() == 1; }));
      sampler.reset();
      CHECK(eventually([&] { return sampler.held_fraction() == 1.0; }));
      CHECK(sampler.read(false).ticks.held > 0);
    }
    CHECK(eventually_knocks(sampler, 0));
    CHECK(sampler.read(false).ticks.held > 0);
    CHECK(sampler.stop(kPatience));
  }
}

TEST(sampler_without_a_state_only_looks) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  gil.refuse_states();
  Sampler sampler(gil, the_clock, kQuick);
  start(sampler, gil);
  CHECK(eventually([&] { return sampler.read(false).ticks.ticks > 10; }));
  CHECK_EQ(sampler.read(false).knocks.knocks, 0);
  const Held held(gil);
  sampler.claim_state();
  CHECK(sampler.stop(kPatience));
}

TEST(sampler_stops_at_once_however_far_the_next_knock) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  Sampler sampler(gil, the_clock, plan_of(kHour, kHour));
  start(sampler, gil);
  CHECK(eventually([&] { return gil.states_occupied() == 1; }));
  CHECK(sampler.stop(kPatience));
}

TEST(sampler_lets_go_of_a_stuck_knock) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  Sampler sampler(gil, the_clock, kQuick);
  start(sampler, gil);
  CHECK(eventually_knocks(sampler, 0));
  std::int64_t knocks = 0;
  int acquired = 0;
  {
    const Held held(gil);
    CHECK(eventually([&] { return gil.waiting() == 1; }));
    acquired = gil.knocks();
    CHECK(eventually([&] { return sampler.read(false).in_flight > 0; }));
    const Nanos before = sampler.read(false).in_flight;
    CHECK(eventually([&] { return sampler.read(false).in_flight > before; }));
    sampler.claim_state();  // too late: the state is in use
    CHECK(!sampler.stop(5 * kMillisecond));
    CHECK(!sampler.is_running());
    CHECK(sampler.stop(0));  // nothing is left to wait for
    const Reading stopped = sampler.read(false);
    knocks = stopped.knocks.knocks;
    CHECK(stopped.in_flight > before);
    CHECK_EQ(sampler.read(false).in_flight, stopped.in_flight);
  }
  CHECK(eventually([&] { return gil.states_open() == 0; }));  // it ends by itself
  CHECK_EQ(gil.knocks(), acquired + 1);                       // and asks for no more than it did
  CHECK_EQ(sampler.read(false).knocks.knocks, knocks);
}

TEST(sampler_restarts_while_a_knock_is_stuck) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  Sampler sampler(gil, the_clock, kQuick);
  {
    const Held held(gil);
    for (int stuck = 1; stuck <= 3; ++stuck) {
      start(sampler, gil);
      CHECK(eventually([&] { return gil.waiting() == stuck; }));
      if (stuck < 3) CHECK(!sampler.stop(kMillisecond));
    }
    CHECK_EQ(sampler.read(false).knocks.knocks, 0);
    CHECK(eventually([&] { return sampler.read(false).ticks.held > 0; }));
  }
  CHECK(eventually([&] { return gil.states_open() == 1; }));  // two ended by themselves
  CHECK(eventually_knocks(sampler, 3));
  CHECK(sampler.stop(kPatience));
}

TEST(sampler_may_be_gone_before_a_thread_that_it_let_go) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  {
    const Held held(gil);
    Sampler sampler(gil, the_clock, kQuick);
    start(sampler, gil);
    CHECK(eventually([&] { return gil.waiting() == 1; }));
    CHECK(!sampler.stop(0));
  }
  CHECK(eventually([&] { return gil.states_open() == 0; }));
}

TEST(sampler_whose_state_was_claimed_stops_without_the_gil) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  int stopped = 0;
  // A claim fails if the knocker is just at work; most do not.
  constexpr int kTries = 10;
  for (int i = 0; i < kTries; ++i) {
    Sampler sampler(gil, the_clock, plan_of(kHour, 20 * kMillisecond));
    start(sampler, gil);
    CHECK(eventually_knocks(sampler, 0));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const Held held(gil);
    sampler.claim_state();
    sampler.claim_state();  // claimed already
    const bool closed = gil.states_open() == 0;
    CHECK_EQ(sampler.stop(0), closed);  // no timeout lets a thread go that waits for nobody
    stopped += closed;
  }
  CHECK(stopped > kTries / 2);
}

TEST(sampler_survives_a_finalizing_interpreter) {
  if (!BlockingGil::kEndUnwinds) return;
  const NothingLeft nothing_left;
  {
    BlockingGil gil;
    Sampler sampler(gil, the_clock, kQuick);
    start(sampler, gil);
    CHECK(eventually_knocks(sampler, 0));
    gil.finalize();  // the next knock is the thread's last act
    CHECK(eventually([&] { return sampler.read(false).in_flight > 2 * kMillisecond; }));
    CHECK(sampler.stop(kPatience));
  }
  {
    BlockingGil gil;
    Sampler sampler(gil, the_clock, plan_of(kHour, kHour));
    start(sampler, gil);
    CHECK(eventually([&] { return gil.states_occupied() == 1; }));
    gil.finalize();  // here it is the attempt to leave
    CHECK(sampler.stop(kPatience));
  }
}

#if defined(__GLIBC__)
TEST(sampler_without_threads_leaves_nothing_behind) {
  const NothingLeft nothing_left;
  for (const int threads : {0, 1}) {
    BlockingGil gil;
    Sampler sampler(gil, the_clock, kQuick);
    {
      const ThreadLimit limit(threads);
      if (!limit.holds()) return;
      CHECK_THROWS(start(sampler, gil), std::system_error);
    }
    CHECK(!sampler.is_running());
    CHECK_EQ(Worker::value(), 0);
    CHECK_EQ(sampler.read(false).observed, sampler.read(false).observed);
    CHECK(sampler.stop(0));
    start(sampler, gil);
    CHECK(eventually_knocks(sampler, 0));
    CHECK(sampler.stop(kPatience));
  }
}
#endif

TEST(sampler_without_memory_leaves_nothing_behind) {
  const NothingLeft nothing_left;
  int failures = 0;
  for (bool started = false; !started; ++failures) {
    BlockingGil gil;
    Sampler sampler(gil, the_clock, kQuick);
    try {
      const FailingMemory memory(failures);
      start(sampler, gil);
      started = true;
    } catch (const std::bad_alloc&) {
    }
    CHECK_EQ(sampler.is_running(), started);
    if (started) {
      CHECK(sampler.stop(kPatience));
    } else {
      CHECK_EQ(Worker::value(), 0);
      CHECK_EQ(sampler.read(false).observed, sampler.read(false).observed);
    }
  }
  CHECK(failures > 5);
}

}  // namespace
}  // namespace gilknocker
