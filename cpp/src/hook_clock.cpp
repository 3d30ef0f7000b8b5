#include "gilknocker/hook_clock.hpp"

#include <algorithm>

namespace gilknocker {
namespace {

// The fastest of a few: in the others the machine did something else.
Nanos measured_cost() noexcept {
  constexpr int kTries = 8, kReadings = 32;
  Nanos fastest = kNever;
  for (int i = 0; i < kTries; ++i) {
    const Nanos begin = HookClock::nanos();
    for (int k = 0; k < kReadings; ++k) static_cast<void>(HookClock::now());
    fastest = std::min(fastest, HookClock::nanos() - begin);
  }
  return (fastest + kReadings - 1) / kReadings;
}

}  // namespace

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
  reading_cost_.store(measured_cost(), std::memory_order_relaxed);
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
