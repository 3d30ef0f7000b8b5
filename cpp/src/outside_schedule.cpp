#include "gilknocker/outside_schedule.hpp"

#include <algorithm>

namespace gilknocker {

OutsideSchedule::OutsideSchedule(Nanos interval, std::uint64_t seed)
    : interval_(static_cast<double>(interval)), random_(seed) {}

Nanos OutsideSchedule::gap() {
  constexpr double kMost = 1e18;  // 30 years: nothing overflows
  const double gap = std::exponential_distribution<double>(1 / interval_)(random_);
  return 1 + static_cast<Nanos>(std::min(gap, kMost));
}

void OutsideSchedule::begin(Nanos base) { due_ = base + gap(); }

std::int64_t OutsideSchedule::advance_past(Nanos now) {
  const Nanos late = now - due_;
  due_ = std::max(now, due_) + gap();
  if (late <= 0) return 0;
  return std::poisson_distribution<std::int64_t>(static_cast<double>(late) / interval_)(random_);
}

}  // namespace gilknocker
