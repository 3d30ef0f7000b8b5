// The system's own mutex and condition variable: what sync.hpp wraps.
//
// Thread safety: that is what they are for. A NativeCondVar is used with one NativeMutex only.
#pragma once

#include "gilknocker/nanos.hpp"

#if defined(_WIN32)

namespace gilknocker {

// An SRWLOCK, which is a pointer, null at first: <windows.h> stays out of headers.
class NativeMutex {
 public:
  void lock() noexcept;
  bool try_lock() noexcept;
  void unlock() noexcept;

 private:
  friend class NativeCondVar;
  void* lock_ = nullptr;
};

// A CONDITION_VARIABLE, likewise.
class NativeCondVar {
 public:
  void notify_all() noexcept;
  void wait_until(NativeMutex& mutex, Nanos deadline) noexcept;

 private:
  void* cond_ = nullptr;
};

}  // namespace gilknocker

#else

#include <pthread.h>

namespace gilknocker {

class NativeMutex {
 public:
  NativeMutex() noexcept = default;
  NativeMutex(const NativeMutex&) = delete;
  NativeMutex& operator=(const NativeMutex&) = delete;
  ~NativeMutex() { pthread_mutex_destroy(&mutex_); }

  void lock() noexcept { pthread_mutex_lock(&mutex_); }
  bool try_lock() noexcept { return pthread_mutex_trylock(&mutex_) == 0; }
  void unlock() noexcept { pthread_mutex_unlock(&mutex_); }

 private:
  friend class NativeCondVar;
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class NativeCondVar {
 public:
  NativeCondVar() noexcept;
  NativeCondVar(const NativeCondVar&) = delete;
  NativeCondVar& operator=(const NativeCondVar&) = delete;
  ~NativeCondVar() { pthread_cond_destroy(&cond_); }

  void notify_all() noexcept { pthread_cond_broadcast(&cond_); }
  void wait_until(NativeMutex& mutex, Nanos deadline) noexcept;

 private:
  pthread_cond_t cond_;
};

}  // namespace gilknocker

#endif
