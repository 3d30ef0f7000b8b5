#include "gilknocker/process.hpp"

#include <pthread.h>
#include <unistd.h>

#include <ctime>

namespace gilknocker::process {

std::optional<Nanos> cpu_of(std::int64_t thread) noexcept {
#if defined(__linux__)
  // The kernel's way to name a thread's clock, as pthread_getcpuclockid() does by the handle.
  constexpr std::int64_t kThreadClock = 6;
  const auto clock = static_cast<clockid_t>((~thread << 3) | kThreadClock);
  timespec used{};
  if (thread <= 0 || clock_gettime(clock, &used) != 0) return std::nullopt;
  return Nanos{1'000'000'000} * used.tv_sec + used.tv_nsec;
#else
  (void)thread;
  return std::nullopt;
#endif
}

std::int64_t id() noexcept { return getpid(); }
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
  pthread_atfork(before, in_parent, in_child);
}

}  // namespace gilknocker::process
