// How many objects of a class are alive: the debug build's check that nothing leaks.
//
// Thread safety: any thread; the counter is atomic and relaxed, for it orders nothing and is read
// when the objects' threads have been joined.
#pragma once

#include <atomic>

namespace gilknocker {

template <typename T>
class LiveCount {
 public:
  static long value() noexcept { return count().load(std::memory_order_relaxed); }

 protected:
  LiveCount() noexcept { change(1); }
  LiveCount(const LiveCount&) noexcept { change(1); }
  LiveCount& operator=(const LiveCount&) noexcept = default;
  ~LiveCount() { change(-1); }

 private:
  static std::atomic<long>& count() noexcept {
    static std::atomic<long> value{0};
    return value;
  }
  static void change([[maybe_unused]] long by) noexcept {
#ifdef GILKNOCKER_DEBUG
    count().fetch_add(by, std::memory_order_relaxed);
#endif
  }
};

}  // namespace gilknocker
