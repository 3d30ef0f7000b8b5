#include <time.h>

#include "check.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {
namespace {

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
  check_between(CLOCK_MONOTONIC, [&] { return clock.now(); });
  check_between(CLOCK_REALTIME, [&] { return clock.unix_time(); });
  check_between(CLOCK_THREAD_CPUTIME_ID, [&] { return clock.thread_cpu(); });
}

}  // namespace
}  // namespace gilknocker
