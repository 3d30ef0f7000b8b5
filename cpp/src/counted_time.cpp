#include "gilknocker/counted_time.hpp"

#include <algorithm>
#include <cmath>

namespace gilknocker {
namespace {

constexpr Nanos kLongEnough = 1'000'000;  // to learn the rate from: 100 ns of doubt are 0.01 %
constexpr double kTolerance = 0.01;       // a slewed clock is off by 0.05 %

bool differs(double rate, double from) noexcept {
  return std::abs(rate - from) > kTolerance * from;
}

// Takes `excess` out of the hold or of the rest, whichever has room for it; of both alike if both
// have, or none.
void take_out(double excess, double* held, double* free) noexcept {
  const bool from_held = *held >= excess;
  const bool from_free = *free >= excess;
  if (from_held == from_free) {
    const double share = *held / (*held + *free);
    *held -= excess * share;
    *free -= excess * (1 - share);
  } else {
    *(from_held ? held : free) -= excess;
  }
}

}  // namespace

void CountedTime::advance(const HeldReading& reading) noexcept {
  if (last_.counts && reading.counts && reading.era == last_.era) {
    held_ += held_between(last_, reading);
    counted_ += std::max<Nanos>(reading.at.nanos - last_.at.nanos, 0);
    takes_ += static_cast<std::int64_t>(reading.takes - last_.takes);
  }
  last_ = reading;
}

Nanos CountedTime::held_between(const HeldReading& from, const HeldReading& to) noexcept {
  const Nanos elapsed = to.at.nanos - from.at.nanos;
  // Signed: on another CPU, or after a suspend, the counter may be behind.
  const auto cycles = static_cast<std::int64_t>(to.at.cycles - from.at.cycles);
  if (elapsed <= 0 || cycles <= 0) return 0;
  double held = static_cast<double>(
      std::clamp<std::int64_t>(static_cast<std::int64_t>(to.held - from.held), 0, cycles));
  double free = static_cast<double>(cycles) - held;
  const double excess = static_cast<double>(cycles) - static_cast<double>(elapsed) * rate_;
  const double rate = static_cast<double>(cycles) / static_cast<double>(elapsed);
  if (elapsed >= kLongEnough) {
    if (rate_ != 0 && rate > rate_ * (1 + kTolerance)) take_out(excess, &held, &free);
    learn(rate);
  }
  const double share = held / (held + free);
  return std::min(static_cast<Nanos>(std::llround(static_cast<double>(elapsed) * share)), elapsed);
}

// Once or twice may be a suspend; three times the same is another rate, as of another machine under
// this system.
void CountedTime::learn(double rate) noexcept {
  if (rate_ != 0 && differs(rate, rate_)) {
    seen_ = seen_ != 0 && !differs(rate, another_) ? seen_ + 1 : 1;
    another_ = rate;
    if (seen_ < 3) return;
  }
  rate_ = rate;
  seen_ = 0;
}

}  // namespace gilknocker
