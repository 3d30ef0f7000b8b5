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

void HookClock::choose(Source source) noexcept {
  source_.store(source, std::memory_order_relaxed);
  chosen_ = instant();
}

double HookClock::rate() noexcept {
  if (source() == Source::kSystem) return 1;
  const Instant now = instant();
  if (now.nanos == chosen_.nanos) return 1;
  return static_cast<double>(now.cycles - chosen_.cycles) /
         static_cast<double>(now.nanos - chosen_.nanos);
}

Instant HookClock::instant() noexcept {
  if (source() == Source::kSystem) {
    const Nanos now = nanos();
    return {static_cast<Cycles>(now), now, 0};
  }
  return tightest_instant(&HookClock::now_in_order, &HookClock::nanos);
}

}  // namespace gilknocker
