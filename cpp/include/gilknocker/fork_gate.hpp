// Keeps what our threads do with the GIL away from a fork: the child would have it half done.
//
// Thread safety
//   enter(), exit()   any thread of ours, in pairs; not with the GIL held. enter() waits while a
//   fork
//                     is under way.
//   is_closed()       any thread. Relaxed: who misses it is inside, and close() waits for that.
//   close(), then reopen() in the parent or reopen_in_child(): the thread that forks. The mutex is
//   held meanwhile, so that no other thread has it, or waits for it to be made anew, in the child.
//   Nothing in here ever waits for the GIL.
#pragma once

#include <atomic>

#include "gilknocker/nanos.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/thread_annotations.hpp"

namespace gilknocker {

class ForkGate {
 public:
  explicit ForkGate(const Clock& clock) noexcept : clock_(clock) {}
  ForkGate(const ForkGate&) = delete;
  ForkGate& operator=(const ForkGate&) = delete;

  void enter() noexcept GILKNOCKER_EXCLUDES(mutex_);
  void exit() noexcept GILKNOCKER_EXCLUDES(mutex_);
  bool is_closed() const noexcept { return closed_.load(std::memory_order_relaxed); }

  // From now on nobody comes in. Waits until nobody is inside, for at most `patience`; false if
  // somebody still was. Another thread's fork is over first.
  bool close(Nanos patience) noexcept GILKNOCKER_ACQUIRE(mutex_);
  void reopen() noexcept GILKNOCKER_RELEASE(mutex_);
  void reopen_in_child() noexcept GILKNOCKER_RELEASE(mutex_);

 private:
  const Clock& clock_;
  Mutex mutex_;
  CondVar changed_;
  int inside_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> closed_{false};  // written under mutex_
};

}  // namespace gilknocker
