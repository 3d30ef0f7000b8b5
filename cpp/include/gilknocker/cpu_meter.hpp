// The CPU time of one of our threads, in portions for the ledger.
//
// Asking costs a system call, a twentieth of what a tick costs in all: so it asks every now and
// then, and at the thread's end.
//
// Thread safety: none; belongs to the thread that it measures.
#pragma once

#include <utility>

#include "gilknocker/nanos.hpp"

namespace gilknocker {

class CpuMeter {
 public:
  explicit CpuMeter(const Clock& clock) noexcept : clock_(clock) {}

  // What was used since the last portion, or 0 if that is too recent.
  Nanos portion(Nanos now) noexcept {
    if (now < next_) return 0;
    next_ = now + kEvery;
    return rest();
  }
  // What was used since the last portion, however recent.
  Nanos rest() noexcept {
    const Nanos used = clock_.thread_cpu();
    return used - std::exchange(used_, used);
  }

 private:
  static constexpr Nanos kEvery = 20'000'000;

  const Clock& clock_;
  Nanos next_ = 0;
  Nanos used_ = 0;
};

}  // namespace gilknocker
