#include "gilknocker/trace_clock.hpp"

#include <cmath>

namespace gilknocker {
namespace {

// Anchors that took longer to read say too little of where the counter was.
constexpr double kWidest = 1'000;  // ns
// Slews differ by 0.1 % at most, and two anchors of 1 us leave as much doubt of the first ms.
constexpr double kTolerance = 0.002;
// More than two good anchors leave in doubt: the pace has changed.
constexpr double kChanged = 1'000;  // ns
// From 1 MHz to 128 GHz: anything else is no counter.
constexpr double kFastest = 1'000;  // ns a cycle
constexpr double kSlowest = 1.0 / 128;

}  // namespace

void TraceClock::forget() noexcept {
  cycles_ = limit_ = width_ = 0;
  pace_ = 0;
  nanos_ = true_ = bound_ = 0;
  last_.store(0, std::memory_order_relaxed);
  learnt_ = 0;
  begun_ = false;
}

Nanos TraceClock::anchor(const Instant& read) noexcept {
  // Where it is ahead it goes on from there, and does not halt.
  const Cycles passed = read.cycles - cycles_;
  const bool ahead = last_.load(std::memory_order_relaxed) > read.nanos;
  const Nanos now = keep(ahead && passed < 2 * limit_ ? at(passed) : read.nanos);
  const Nanos elapsed = read.nanos - true_;
  // Signed: on another CPU, or after a suspend, the counter may be behind.
  const auto cycles = static_cast<std::int64_t>(passed);
  const double pace = cycles > 0 ? static_cast<double>(elapsed) / static_cast<double>(cycles) : 0.0;
  const double width = static_cast<double>(std::max(read.width, width_)) * pace;
  const bool sound = begun_ && pace >= kSlowest && pace <= kFastest && width <= kWidest;
  const bool same = sound && std::abs(pace - learnt_) <= kTolerance * learnt_;
  cycles_ = read.cycles;
  true_ = read.nanos;
  width_ = read.width;
  begun_ = true;
  if (same) {
    follow(pace, elapsed, now - read.nanos);
  } else {
    learnt_ = sound ? pace : 0;
    limit_ = 0;
    bound_ = 0;
  }
  return now;
}

void TraceClock::follow(double pace, Nanos elapsed, Nanos ahead) noexcept {
  const double off = std::abs(1 - learnt_ / pace) * static_cast<double>(elapsed);
  bound_ = off > kChanged ? kFirst : std::clamp(2 * bound_, kFirst, kLongest);
  learnt_ = pace;
  limit_ = static_cast<Cycles>(static_cast<double>(bound_) / pace);
  // Gently, so that nobody's holds are seen to be shorter; else time stands still until then.
  const bool slower = ahead <= bound_ / 8;
  nanos_ = slower ? true_ + ahead : true_;
  if (slower) pace *= static_cast<double>(bound_ - ahead) / static_cast<double>(bound_);
  pace_ = static_cast<std::uint64_t>(std::ldexp(pace, kShift));
}

}  // namespace gilknocker
