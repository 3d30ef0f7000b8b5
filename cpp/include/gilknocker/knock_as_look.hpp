// Where the lock word cannot be read, knocks answer for looks: an instant counts as held if the
// knock made there had to wait, or if it passes while such a knock waits.
//
// Thread safety: an immutable value.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "gilknocker/nanos.hpp"
#include "gilknocker/tally.hpp"

namespace gilknocker {

struct KnockAsLook {
  bool active = false;
  Nanos contended_after = 0;  // a knock that waits longer had to, where the system cannot tell
  Nanos interval = 0;

  // The ticks that a knock answers for: its own, and `passed` of them while it waited.
  TickTally answered(std::optional<bool> had_to_wait, Nanos wait,
                     std::int64_t passed) const noexcept {
    TickTally ticks;
    if (had_to_wait.value_or(wait > contended_after)) {
      ticks.ticks = ticks.held = 1 + passed;
    } else {
      ticks.ticks = 1;
      ticks.missed = passed;  // the machine was late, not the GIL
    }
    return ticks;
  }

  // What is sure about the ticks under a knock that still waits.
  TickTally under_way(Nanos in_flight) const noexcept {
    TickTally sure;
    if (active && in_flight > contended_after) {
      // n whole intervals contain at least n - 1 jittered instants, beside the knock's own.
      sure.ticks = sure.held = std::max<std::int64_t>(in_flight / interval, 1);
    }
    return sure;
  }
};

}  // namespace gilknocker
