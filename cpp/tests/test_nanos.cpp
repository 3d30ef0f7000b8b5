#include <time.h>

#include <chrono>
#include <thread>

#include "check.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {
namespace {

#if !defined(_WIN32)

#if defined(__APPLE__)
constexpr clockid_t kMonotonic = CLOCK_UPTIME_RAW;
#else
constexpr clockid_t kMonotonic = CLOCK_MONOTONIC;
#endif

Nanos read(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<Nanos>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

TEST(clock_agrees_with_the_systems) {
  const SystemClock clock;
  const auto check_between = [](clockid_t id, auto ask) {
    const Nanos before = read(id);
    const Nanos answer = ask();
    CHECK(before <= answer && answer <= read(id));
  };
  check_between(kMonotonic, [&] { return clock.now(); });
  check_between(CLOCK_REALTIME, [&] { return clock.unix_time(); });
  check_between(CLOCK_THREAD_CPUTIME_ID, [&] { return clock.thread_cpu(); });
}

#endif

template <typename Other>
Nanos read() {
  return std::chrono::nanoseconds(Other::now().time_since_epoch()).count();
}

constexpr Nanos kCoarse = 1'000;  // the library's may count in microseconds

TEST(clock_goes_as_the_librarys) {
  const SystemClock clock;
  const auto ours = [&] { return clock.now(); };
  const auto pass = [](auto outer, auto inner) {
    const Nanos from = outer();
    const Nanos inner_from = inner();
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const Nanos inner_to = inner();
    CHECK(inner_to - inner_from <= outer() - from + kCoarse);
  };
  pass(ours, read<std::chrono::steady_clock>);
  pass(read<std::chrono::steady_clock>, ours);
}

TEST(clock_tells_the_librarys_date) {
  const Nanos before = read<std::chrono::system_clock>();
  const Nanos answer = SystemClock().unix_time();
  CHECK(before - kCoarse <= answer && answer <= read<std::chrono::system_clock>() + kCoarse);
}

TEST(clock_counts_the_cpu_time_of_work) {
  const SystemClock clock;
  const Nanos before = clock.thread_cpu();
  const Nanos begun = clock.now();
  while (clock.now() < begun + 50'000'000) continue;  // some systems count in steps of 15.6 ms
  const Nanos used = clock.thread_cpu() - before;
  CHECK(used > 0 && used < clock.now() - begun + 20'000'000);
}

}  // namespace
}  // namespace gilknocker
