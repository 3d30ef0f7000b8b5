#include "gilknocker/hook_clock.hpp"

namespace gilknocker {

const char* HookClock::name() noexcept {
  switch (source()) {
    case Source::kTsc:
      return "tsc";
    case Source::kCntvct:
      return "cntvct";
    case Source::kSystem:
      break;
  }
  return "clock_gettime";
}

Instant HookClock::instant() noexcept {
  const SystemClock clock;
  if (source() == Source::kSystem) {
    const Nanos nanos = clock.now();
    return {static_cast<Cycles>(nanos), nanos};
  }
  return tightest_instant(&HookClock::now_in_order, [&clock] { return clock.now(); });
}

}  // namespace gilknocker
