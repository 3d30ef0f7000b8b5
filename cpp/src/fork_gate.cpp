#include "gilknocker/fork_gate.hpp"

#include <memory>

namespace gilknocker {

void ForkGate::enter() noexcept {
  MutexLock lock(mutex_);
  while (is_closed()) changed_.wait_until(mutex_, kNever);
  ++inside_;
}

void ForkGate::exit() noexcept {
  MutexLock lock(mutex_);
  --inside_;
  if (is_closed()) changed_.notify_all();
}

bool ForkGate::close(Nanos patience) noexcept {
  mutex_.lock();
  // While it waits in here another thread may fork as well.
  while (is_closed()) changed_.wait_until(mutex_, kNever);
  closed_.store(true, std::memory_order_relaxed);
  const Nanos deadline = clock_.now() + patience;
  while (inside_ > 0 && clock_.now() < deadline) changed_.wait_until(mutex_, deadline);
  return inside_ == 0;
}

void ForkGate::reopen() noexcept {
  closed_.store(false, std::memory_order_relaxed);
  changed_.notify_all();
  mutex_.unlock();
}

void ForkGate::reopen_in_child() noexcept {
  // Whoever waited here waits in the parent; and nobody is inside.
  std::construct_at(&changed_);
  inside_ = 0;
  closed_.store(false, std::memory_order_relaxed);
  mutex_.unlock();
}

}  // namespace gilknocker
