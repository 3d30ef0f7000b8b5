// A mutex that clang can check, and a condition variable on the monotonic clock.
//
// std::condition_variable would do, but libstdc++ waits on the wall clock where glibc lacks
// pthread_cond_clockwait, and an NTP step would then move our ticks.
//
// Thread safety: that is what they are for. A CondVar is used with one Mutex only.
#pragma once

#include <pthread.h>

#include "gilknocker/nanos.hpp"
#include "gilknocker/thread_annotations.hpp"

namespace gilknocker {

class GILKNOCKER_CAPABILITY("mutex") Mutex {
 public:
  Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  ~Mutex() { pthread_mutex_destroy(&mutex_); }

  void lock() noexcept GILKNOCKER_ACQUIRE() { pthread_mutex_lock(&mutex_); }
  bool try_lock() noexcept GILKNOCKER_TRY_ACQUIRE(true) {
    return pthread_mutex_trylock(&mutex_) == 0;
  }
  void unlock() noexcept GILKNOCKER_RELEASE() { pthread_mutex_unlock(&mutex_); }

 private:
  friend class CondVar;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
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
  CondVar() noexcept;
  CondVar(const CondVar&) = delete;
  CondVar& operator=(const CondVar&) = delete;
  ~CondVar() { pthread_cond_destroy(&cond_); }

  void notify_all() noexcept { pthread_cond_broadcast(&cond_); }
  // Returns at a notification, at the deadline (SystemClock's, or never for kNever), or for no
  // reason at all: callers loop over their predicate.
  void wait_until(Mutex& mutex, Nanos deadline) noexcept GILKNOCKER_REQUIRES(mutex);

 private:
  pthread_cond_t cond_;
};

}  // namespace gilknocker
