#include <windows.h>

#include "gilknocker/nanos.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kSecond = 1'000'000'000;
constexpr Nanos kEpoch = 116'444'736'000'000'000;  // 1970, in units of 100 ns since 1601

Nanos units(const FILETIME& time) noexcept {
  return static_cast<Nanos>(time.dwHighDateTime) << 32 | static_cast<Nanos>(time.dwLowDateTime);
}

Nanos counts_per_second() noexcept {
  LARGE_INTEGER frequency;
  QueryPerformanceFrequency(&frequency);
  return frequency.QuadPart;
}

}  // namespace

Nanos SystemClock::now() const noexcept {
  static const Nanos frequency = counts_per_second();
  LARGE_INTEGER count;
  QueryPerformanceCounter(&count);
  // The seconds apart, for the product of all of it would not fit.
  const Nanos seconds = count.QuadPart / frequency;
  const Nanos rest = count.QuadPart % frequency;
  return seconds * kSecond + rest * kSecond / frequency;
}

Nanos SystemClock::unix_time() const noexcept {
  FILETIME now;
  GetSystemTimePreciseAsFileTime(&now);
  return (units(now) - kEpoch) * 100;
}

Nanos SystemClock::thread_cpu() const noexcept {
  FILETIME created, ended, kernel{}, user{};
  GetThreadTimes(GetCurrentThread(), &created, &ended, &kernel, &user);
  return (units(kernel) + units(user)) * 100;
}

}  // namespace gilknocker
