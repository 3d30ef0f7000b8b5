// A mutex that clang can check, and a condition variable on the monotonic clock.
//
// std::condition_variable would do, but libstdc++ waits on the wall clock where glibc lacks
// pthread_cond_clockwait, and an NTP step would then move our ticks.
//
// Thread safety: that is what they are for. A CondVar is used with one Mutex only.
#pragma once

#include "gilknocker/nanos.hpp"
#include "gilknocker/native_sync.hpp"
#include "gilknocker/thread_annotations.hpp"

namespace gilknocker {

class GILKNOCKER_CAPABILITY("mutex") Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() noexcept GILKNOCKER_ACQUIRE() { native_.lock(); }
  bool try_lock() noexcept GILKNOCKER_TRY_ACQUIRE(true) { return native_.try_lock(); }
  void unlock() noexcept GILKNOCKER_RELEASE() { native_.unlock(); }

 private:
  friend class CondVar;
  NativeMutex native_;
};

class GILKNOCKER_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) noexcept GILKNOCKER_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;
  ~MutexLock() GILKNOCKER_RELEASE() { mutex_.unlock(); }

 private:
  Mutex& mutex_;
};

class CondVar {
 public:
  CondVar() noexcept = default;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;

  void notify_all() noexcept { native_.notify_all(); }
  // Returns at a notification, at the deadline (SystemClock's, or never for kNever), or for no
  // reason at all: callers loop over their predicate.
  void wait_until(Mutex& mutex, Nanos deadline) noexcept GILKNOCKER_REQUIRES(mutex) {
    native_.wait_until(mutex.native_, deadline);
  }

 private:
  NativeCondVar native_;
};

}  // namespace gilknocker
