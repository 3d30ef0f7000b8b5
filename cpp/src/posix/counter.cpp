// Whether the CPU's counter is what the kernel keeps time by.
#include "gilknocker/hook_clock.hpp"

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

#include <fcntl.h>
#include <unistd.h>

#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/prctl.h>
#endif

namespace gilknocker {
namespace {

bool kernel_keeps_time_by(std::string_view wanted) noexcept {
  const int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource",
                        O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[64];
  const ssize_t size = read(file, text, sizeof text);
  close(file);
  if (size <= 0) return false;
  std::string_view name(text, static_cast<std::size_t>(size));
  if (name.ends_with('\n')) name.remove_suffix(1);
  return name == wanted;
}

#if defined(__x86_64__)

// AMD64 Architecture Programmer's Manual, volume 3, appendix E.4.7: TscInvariant.
bool is_invariant() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1U << 8)) != 0;
}

// A process may forbid itself the instruction, which then ends it.
bool is_allowed() noexcept {
  int mode = 0;
  return prctl(PR_GET_TSC, &mode, 0UL, 0UL, 0UL) == 0 && mode == PR_TSC_ENABLE;
}

#endif

}  // namespace

HookClock::Source HookClock::find() noexcept {
#if defined(__x86_64__)
  if (is_invariant() && is_allowed() && kernel_keeps_time_by("tsc")) return Source::kTsc;
#else
  if (kernel_keeps_time_by("arch_sys_counter")) return Source::kCntvct;
#endif
  return Source::kSystem;
}

}  // namespace gilknocker

#else

namespace gilknocker {

HookClock::Source HookClock::find() noexcept { return Source::kSystem; }

}  // namespace gilknocker

#endif
