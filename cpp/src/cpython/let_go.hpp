// Whether a thread that was made to let go of the GIL goes on to want it.
#pragma once

#include "gilknocker/nanos.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker::gil_hooks {

// The thread let go of the GIL because another had asked it to: for as long as nothing is known of
// what it wants. If it asks again at once it never stopped wanting it, and has been waiting since
// it let go; else it had let go for a reason of its own, as for input, and does not wait meanwhile.
class LetGo {
 public:
  void begin(Nanos now) noexcept {
    under_way_ = true;
    came_back(now);
  }
  // From waiting until another had taken it.
  void came_back(Nanos now) noexcept {
    if (!under_way_) return;
    since_ = now;
    used_ = this_thread::usage().value_or(this_thread::Usage{});
  }
  // It asks for it, or has it: whether it wanted it all along. A thread that did neither work nor
  // wait for anything meanwhile can only have been without a CPU.
  bool end(Nanos now) noexcept {
    if (!under_way_) return false;
    under_way_ = false;
    if (now - since_ <= kAtOnce) return true;
    const this_thread::Usage used = this_thread::usage().value_or(this_thread::Usage{});
    return used.voluntary_switches == used_.voluntary_switches && used.cpu - used_.cpu <= kLittle;
  }

 private:
  static constexpr Nanos kAtOnce = 20'000;
  static constexpr Nanos kLittle = 100'000;  // to be woken and to come back costs 50 us on some

  bool under_way_ = false;
  Nanos since_ = 0;
  this_thread::Usage used_;
};

}  // namespace gilknocker::gil_hooks
