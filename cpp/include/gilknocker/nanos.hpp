// Time, as every room of the meter sees it.
//
// Thread safety: a Clock has no state; any thread may call it.
#pragma once

#include <cstdint>
#include <limits>

namespace gilknocker {

// Nanoseconds, signed 64-bit: 292 years, so that no sum of waits can wrap.
using Nanos = std::int64_t;

inline constexpr Nanos kNever = std::numeric_limits<Nanos>::max();

class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  // The clock of Python's time.monotonic_ns(), on Windows of time.perf_counter_ns(): unmoved by NTP
  // steps, and on Linux and macOS by suspend.
  virtual Nanos now() const noexcept = 0;
  // Wall time since the Unix epoch, for people only.
  virtual Nanos unix_time() const noexcept = 0;
  // CPU time that the calling thread has used.
  virtual Nanos thread_cpu() const noexcept = 0;
};

class SystemClock final : public Clock {
 public:
  Nanos now() const noexcept override;
  Nanos unix_time() const noexcept override;
  Nanos thread_cpu() const noexcept override;
};

}  // namespace gilknocker
