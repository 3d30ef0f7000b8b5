#include "gilknocker/this_thread.hpp"

#include <pthread.h>
#include <time.h>

#include "gilknocker/per_thread.hpp"

namespace gilknocker::this_thread {
namespace {

// Not thread-local: see per_thread.hpp. Any value but null: a thread of ours.
const ThreadKey ours(nullptr);

}  // namespace

void set_name(const char* name) noexcept {
#if defined(__APPLE__)
  pthread_setname_np(name);
#else
  pthread_setname_np(pthread_self(), name);
#endif
}

void sleep_for(Nanos duration) noexcept {
  timespec time{};
  time.tv_sec = static_cast<time_t>(duration / 1'000'000'000);
  time.tv_nsec = static_cast<long>(duration % 1'000'000'000);
  nanosleep(&time, nullptr);
}

void mark_ours() noexcept {
  if (ours.is_there()) ours.set(const_cast<ThreadKey*>(&ours));
}
bool is_ours() noexcept { return ours.is_there() && ours.get() != nullptr; }

}  // namespace gilknocker::this_thread

#if defined(__linux__)

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace gilknocker::this_thread {
namespace {

constexpr std::uint64_t kShortSlice = 100'000;  // ns: the least that EEVDF takes

// The kernel's struct sched_attr (SCHED_ATTR_SIZE_VER0), which glibc 2.36 does not declare.
struct SchedAttr {
  std::uint32_t size;
  std::uint32_t policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime;
  std::uint64_t deadline;
  std::uint64_t period;
};

bool get_attributes(SchedAttr* attributes) noexcept {
  return syscall(SYS_sched_getattr, 0, attributes, sizeof *attributes, 0U) == 0;
}

}  // namespace

void ask_for_exact_timers() noexcept { prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); }

bool ask_for_short_slice() noexcept {
  // A fresh struct would reset nice, or fail for want of the right to do so.
  SchedAttr attributes{};
  if (!get_attributes(&attributes) || attributes.policy != SCHED_OTHER) return false;
  attributes.size = sizeof attributes;
  attributes.runtime = kShortSlice;
  if (syscall(SYS_sched_setattr, 0, &attributes, 0U) != 0) return false;
  // Kernels before 6.12 accept the call and ignore the slice.
  return get_attributes(&attributes) && attributes.runtime == kShortSlice;
}

std::optional<Usage> usage() noexcept {
  rusage used{};
  if (getrusage(RUSAGE_THREAD, &used) != 0) return std::nullopt;
  const auto nanos = [](const timeval& time) {
    return Nanos{time.tv_sec} * 1'000'000'000 + Nanos{time.tv_usec} * 1'000;
  };
  return Usage{nanos(used.ru_utime) + nanos(used.ru_stime), used.ru_nvcsw};
}

}  // namespace gilknocker::this_thread

#else

namespace gilknocker::this_thread {

void ask_for_exact_timers() noexcept {}
bool ask_for_short_slice() noexcept { return false; }
std::optional<Usage> usage() noexcept { return std::nullopt; }

}  // namespace gilknocker::this_thread

#endif
