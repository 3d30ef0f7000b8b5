#include <windows.h>

#include <algorithm>

#include "gilknocker/native_sync.hpp"

namespace gilknocker {
namespace {

static_assert(sizeof(SRWLOCK) == sizeof(void*) && sizeof(CONDITION_VARIABLE) == sizeof(void*));

PSRWLOCK lock_at(void** lock) noexcept { return reinterpret_cast<PSRWLOCK>(lock); }
PCONDITION_VARIABLE cond_at(void** cond) noexcept {
  return reinterpret_cast<PCONDITION_VARIABLE>(cond);
}

// Rounded up: whoever woke too early would come back at once, and spin until it is time. An hour at
// most, for callers loop.
DWORD milliseconds_until(Nanos deadline) noexcept {
  if (deadline == kNever) return INFINITE;
  constexpr Nanos kHour = 3'600'000'000'000;
  const Nanos left = std::clamp<Nanos>(deadline - SystemClock().now(), 0, kHour);
  return static_cast<DWORD>((left + 999'999) / 1'000'000);
}

}  // namespace

void NativeMutex::lock() noexcept { AcquireSRWLockExclusive(lock_at(&lock_)); }
bool NativeMutex::try_lock() noexcept { return TryAcquireSRWLockExclusive(lock_at(&lock_)) != 0; }
void NativeMutex::unlock() noexcept { ReleaseSRWLockExclusive(lock_at(&lock_)); }

void NativeCondVar::notify_all() noexcept { WakeAllConditionVariable(cond_at(&cond_)); }

void NativeCondVar::wait_until(NativeMutex& mutex, Nanos deadline) noexcept {
  SleepConditionVariableSRW(cond_at(&cond_), lock_at(&mutex.lock_), milliseconds_until(deadline),
                            0);
}

}  // namespace gilknocker
