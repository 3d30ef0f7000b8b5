// How many threads of the program wait for the GIL at this instant, and whether who holds it took
// it back from them: it let go while they waited, and was the next to have it.
//
// Thread safety: began(), ended() and held() are called by the hooks of a trace (and ended() by its
// readers, of threads that ended while they waited), clear() where no hook knows the book; now()
// and retaken() by any thread, as a watcher at each of its looks. Relaxed suffices: each is one
// number, by which nothing else is read, and a look is of an instant that nobody else has set. What
// changes beside it may count or not, as if the look had come a moment later; so may the two be of
// two instants.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace gilknocker {

class WaiterCount {
 public:
  void began() noexcept { count_.fetch_add(1, std::memory_order_relaxed); }
  void ended() noexcept { count_.fetch_sub(1, std::memory_order_relaxed); }
  void held(bool retaken) noexcept { retaken_.store(retaken, std::memory_order_relaxed); }
  void clear() noexcept {
    count_.store(0, std::memory_order_relaxed);
    held(false);
  }
  // Never less than none: one that began just before clear() may end after it.
  std::int64_t now() const noexcept {
    return std::max<std::int64_t>(count_.load(std::memory_order_relaxed), 0);
  }
  // Of the hold that goes on, or was the last.
  bool retaken() const noexcept { return retaken_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> count_{0};
  std::atomic<bool> retaken_{false};
};

}  // namespace gilknocker
