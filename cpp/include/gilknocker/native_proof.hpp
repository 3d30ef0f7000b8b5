// Whether the GIL's holder is in native code: Python code lets go within microseconds of being
// asked. Who does not for so long, and has had half of that time on a CPU, is not in any.
//
// Thread safety: none; belongs to who looks.
#pragma once

#include <optional>

#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class NativeProof {
 public:
  explicit NativeProof(const Gil& gil) noexcept : gil_(gil) {}

  // Of a look at `at` that found `mark`, and then its state; `cpu` returns the holder's CPU time,
  // if it is known.
  template <typename Cpu>
  bool look(const HolderMark& mark, const StateCopy& state, Nanos at, Cpu cpu) noexcept {
    if (!gil_.asked_to_let_go(state)) {
      forget();
      return false;
    }
    const std::optional<Nanos> now = cpu();
    // Who looks may have had no CPU since the mark was taken. That hold may have been over before
    // the state was read, and the same thread asked in a later one: both answers would be of that.
    if (gil_.mark() != std::optional(mark)) {
      forget();
      return false;
    }
    if (since_ == kNever || !(mark_ == mark)) {
      since_ = at;
      mark_ = mark;
      cpu_then_ = now;
    }
    return at - since_ >= kGivesWayWithin && now && cpu_then_ &&
           *now - *cpu_then_ >= kGivesWayWithin / 2;
  }
  void forget() noexcept { since_ = kNever; }

 private:
  static constexpr Nanos kGivesWayWithin = 5'000'000;

  const Gil& gil_;
  HolderMark mark_;  // who has been asked to let go, since when
  Nanos since_ = kNever;
  std::optional<Nanos> cpu_then_;
};

}  // namespace gilknocker
