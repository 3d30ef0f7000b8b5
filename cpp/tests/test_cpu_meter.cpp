#include "check.hpp"
#include "gilknocker/cpu_meter.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

TEST(cpu_meter_counts_each_moment_once) {
  for_seeds(100, [](Random& random) {
    FakeClock clock(0);
    CpuMeter meter(clock);
    Nanos sum = 0;
    for (int i = 0; i < 200; ++i) {
      clock.advance(log_uniform_in(random, 1, 50'000'000));
      sum += meter.portion(clock.now());
      CHECK(sum <= clock.thread_cpu());
      // What it has not told yet is recent.
      CHECK(clock.thread_cpu() - sum <= 20'000'000 / FakeClock::kNanosPerCpu);
    }
    sum += meter.rest();
    CHECK_EQ(sum, clock.thread_cpu());
    CHECK_EQ(meter.rest(), 0);
  });
}

}  // namespace
}  // namespace gilknocker
