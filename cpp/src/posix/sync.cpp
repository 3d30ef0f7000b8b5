#include <time.h>

#include <algorithm>

#include "gilknocker/native_sync.hpp"

namespace gilknocker {
namespace {

timespec timespec_of(Nanos nanos) noexcept {
  timespec time{};
  time.tv_sec = static_cast<time_t>(nanos / 1'000'000'000);
  time.tv_nsec = static_cast<long>(nanos % 1'000'000'000);
  return time;
}

}  // namespace

#if defined(__APPLE__)

// It has no condition variables on another clock than the wall's, but waits of a given length.

NativeCondVar::NativeCondVar() noexcept { pthread_cond_init(&cond_, nullptr); }

void NativeCondVar::wait_until(NativeMutex& mutex, Nanos deadline) noexcept {
  if (deadline == kNever) {
    pthread_cond_wait(&cond_, &mutex.mutex_);
    return;
  }
  constexpr Nanos kHour = 3'600'000'000'000;  // at most, for callers loop
  const Nanos left = std::clamp<Nanos>(deadline - SystemClock().now(), 0, kHour);
  const timespec wait = timespec_of(left);
  pthread_cond_timedwait_relative_np(&cond_, &mutex.mutex_, &wait);
}

#else

NativeCondVar::NativeCondVar() noexcept {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&cond_, &attributes);
  pthread_condattr_destroy(&attributes);
}

void NativeCondVar::wait_until(NativeMutex& mutex, Nanos deadline) noexcept {
  if (deadline == kNever) {
    pthread_cond_wait(&cond_, &mutex.mutex_);
    return;
  }
  const timespec until = timespec_of(deadline);
  pthread_cond_timedwait(&cond_, &mutex.mutex_, &until);
}

#endif

}  // namespace gilknocker
