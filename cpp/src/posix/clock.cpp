#include <time.h>

#include "gilknocker/nanos.hpp"

namespace gilknocker {
namespace {

#if defined(__APPLE__)
constexpr clockid_t kMonotonic = CLOCK_UPTIME_RAW;  // its CLOCK_MONOTONIC goes on under suspend
#else
constexpr clockid_t kMonotonic = CLOCK_MONOTONIC;
#endif

Nanos read_clock(clockid_t clock) noexcept {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<Nanos>(t.tv_sec) * 1'000'000'000 + static_cast<Nanos>(t.tv_nsec);
}

}  // namespace

Nanos SystemClock::now() const noexcept { return read_clock(kMonotonic); }
Nanos SystemClock::unix_time() const noexcept { return read_clock(CLOCK_REALTIME); }
Nanos SystemClock::thread_cpu() const noexcept { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace gilknocker
