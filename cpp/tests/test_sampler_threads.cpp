// A sampler that many threads use at once, against what must hold of every reading. Under
// ThreadSanitizer this is the test of the whole concurrency.
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "blocking_gil.hpp"
#include "check.hpp"
#include "gilknocker/sampler.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

const SystemClock the_clock;

constexpr Nanos kPatience = 20'000'000'000;

void check_reading(const Reading& reading, std::int64_t log_capacity) {
  const TickTally& ticks = reading.ticks;
  CHECK(ticks.ticks >= ticks.held + ticks.own + ticks.disabled);
  CHECK(ticks.ticks >= ticks.late);
  const KnockTally& knocks = reading.knocks;
  CHECK(knocks.wait_total >= knocks.wait_max);
  CHECK(knocks.observed >= knocks.wait_total);
  CHECK(reading.end >= reading.start);
  CHECK(reading.end - reading.start >= reading.observed);
  std::int64_t in_histogram = 0;
  for (const HistogramBucket& bucket : reading.histogram) in_histogram += bucket.count;
  CHECK_EQ(in_histogram, knocks.knocks);
  if (!reading.waits) return;
  const auto size = static_cast<std::int64_t>(reading.waits->size());
  CHECK_EQ(reading.waits->first_sequence() + size, knocks.knocks);
  CHECK_EQ(size, std::min(knocks.knocks, log_capacity));
  std::vector<Nanos> waits(reading.waits->size());
  std::vector<Nanos> times(reading.waits->size());
  reading.waits->copy_waits(waits.data());
  reading.waits->copy_times(times.data());
  for (std::size_t i = 0; i < waits.size(); ++i) {
    CHECK(waits[i] >= 0 && waits[i] <= knocks.wait_max);
    if (i > 0) CHECK(times[i] >= times[i - 1] + waits[i - 1]);
  }
}

void stop(Sampler& sampler, BlockingGil& gil, bool claim) {
  if (claim) {
    const Held held(gil);
    sampler.claim_state();
  }
  CHECK(sampler.stop(kPatience));
}

void do_anything(Sampler& sampler, BlockingGil& gil, std::int64_t log_capacity, Random& random) {
  switch (integer_in(random, 0, 9)) {
    case 0:
    case 1:
      return start(sampler, gil);
    case 2:
      return stop(sampler, gil, chance(random, 0.7));
    case 3:
      return sampler.reset();
    case 4:
      return static_cast<void>(sampler.try_reset());
    case 5:
    case 6:
      return check_reading(sampler.read(true), log_capacity);
    case 7: {
      double fraction = sampler.held_fraction();
      sampler.try_held_fraction(&fraction);
      return static_cast<void>(CHECK(fraction >= 0 && fraction <= 1));
    }
    case 8: {
      const WaitView view = sampler.waits();
      return static_cast<void>(CHECK(view.size() <= static_cast<std::size_t>(log_capacity)));
    }
    default:
      static_cast<void>(sampler.is_running());
      std::this_thread::sleep_for(std::chrono::microseconds(integer_in(random, 0, 300)));
  }
}

void use_from_many_threads(bool can_look) {
  constexpr std::int64_t kLogCapacity = 50;
  BlockingGil gil(can_look);
  SamplerPlan plan;
  plan.interval = 30'000;
  plan.knocks = {40'000, 7, 100'000};
  plan.late_after = plan.contended_after = 50'000;
  plan.log_capacity = kLogCapacity;
  Sampler sampler(gil, the_clock, plan);
  std::atomic<bool> enough{false};
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    threads.emplace_back([&, seed] {
      Random random(seed);
      while (!enough) do_anything(sampler, gil, kLogCapacity, random);
    });
  }
  threads.emplace_back([&] {  // the program
    while (!enough) {
      const Held held(gil);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(700));
  CHECK(
      eventually([&] { return gil.states_occupied() > 3; }));  // at once, but on a crowded machine
  enough = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(sampler.stop(kPatience));
  check_reading(sampler.read(true), kLogCapacity);
}

TEST(sampler_that_looks_is_safe_to_use_from_any_thread) {
  const NothingLeft nothing_left;
  use_from_many_threads(true);
}

TEST(sampler_that_knocks_only_is_safe_to_use_from_any_thread) {
  const NothingLeft nothing_left;
  use_from_many_threads(false);
}

// One thread starts and stops, others read: counts of an epoch only grow, also over restarts.
TEST(sampler_counts_only_grow) {
  const NothingLeft nothing_left;
  BlockingGil gil;
  SamplerPlan plan;
  plan.interval = 50'000;
  plan.knocks = {80'000, 0, 0};
  plan.log_capacity = 10;
  Sampler sampler(gil, the_clock, plan);
  std::atomic<bool> enough{false};
  const auto read = [&] {
    Reading before = sampler.read(false);
    while (!enough) {
      const Reading reading = sampler.read(false);
      CHECK(reading.observed >= before.observed);
      CHECK(reading.end >= before.end);
      CHECK(reading.ticks.ticks >= before.ticks.ticks);
      CHECK(reading.ticks.held >= before.ticks.held);
      CHECK(reading.ticks.own >= before.ticks.own);
      CHECK(reading.ticks.missed >= before.ticks.missed);
      CHECK(reading.knocks.knocks >= before.knocks.knocks);
      CHECK(reading.knocks.wait_total >= before.knocks.wait_total);
      CHECK(reading.cpu >= before.cpu);
      before = reading;
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) readers.emplace_back(read);
  for (int i = 0; i < 30; ++i) {
    start(sampler, gil);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const Held held(gil);
    sampler.claim_state();
    sampler.stop(20'000'000);  // a claim that fails leaves a knock that is stuck
  }
  enough = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(eventually([&] { return gil.states_open() == 0; }));  // also the stuck ones
}

}  // namespace
}  // namespace gilknocker
