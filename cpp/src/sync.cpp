#include "gilknocker/sync.hpp"

#include <time.h>

namespace gilknocker {

CondVar::CondVar() noexcept {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&cond_, &attributes);
  pthread_condattr_destroy(&attributes);
}

void CondVar::wait_until(Mutex& mutex, Nanos deadline) noexcept {
  if (deadline == kNever) {
    pthread_cond_wait(&cond_, &mutex.mutex_);
    return;
  }
  timespec until{};
  until.tv_sec = static_cast<time_t>(deadline / 1'000'000'000);
  until.tv_nsec = static_cast<long>(deadline % 1'000'000'000);
  pthread_cond_timedwait(&cond_, &mutex.mutex_, &until);
}

}  // namespace gilknocker
