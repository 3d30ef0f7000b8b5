#include <time.h>

#include "gilknocker/nanos.hpp"

namespace gilknocker {
namespace {

Nanos read_clock(clockid_t clock) noexcept {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<Nanos>(t.tv_sec) * 1'000'000'000 + static_cast<Nanos>(t.tv_nsec);
}

}  // namespace

Nanos SystemClock::now() const noexcept { return read_clock(CLOCK_MONOTONIC); }
Nanos SystemClock::unix_time() const noexcept { return read_clock(CLOCK_REALTIME); }
Nanos SystemClock::thread_cpu() const noexcept { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace gilknocker
