// The counters of one epoch. A plain value: whoever holds it, owns it.
#pragma once

#include <cstdint>

#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

struct TickTally {
  std::int64_t ticks = 0;     // looks taken; the next four are among them
  std::int64_t held = 0;      // by a thread of the program
  std::int64_t own = 0;       // by a knocker of ours
  std::int64_t late = 0;      // woken too long after the instant
  std::int64_t disabled = 0;  // there was no GIL
  std::int64_t missed = 0;    // instants that passed before the watcher woke: not in ticks

  TickTally& operator+=(const TickTally& other) noexcept {
    ticks += other.ticks;
    held += other.held;
    own += other.own;
    late += other.late;
    disabled += other.disabled;
    missed += other.missed;
    return *this;
  }
};

// For how much time looks stand, in units of the shortest: as many as looks where all are the same.
struct LookWeights {
  std::int64_t all = 0;
  std::int64_t enabled = 0;  // of those that found a GIL
  std::int64_t held = 0;
  std::int64_t squared = 0;  // the sum of the squares, of those that found a GIL

  void add(Look look, std::int64_t weight) noexcept {
    all += weight;
    if (look == Look::kDisabled) return;
    enabled += weight;
    squared += weight * weight;
    if (look == Look::kHeld) held += weight;
  }
};

struct KnockTally {
  std::int64_t knocks = 0;
  std::int64_t missed = 0;  // instants that passed while a knock waited or before it woke
  Nanos observed = 0;       // time over which knocks were asked, rests between bursts left out
  Nanos wait_total = 0;
  Nanos wait_max = 0;
};

// The share of looks with a GIL that found it held by the program; 0 before any.
inline double held_fraction(const TickTally& tally) noexcept {
  const std::int64_t enabled = tally.ticks - tally.disabled;
  return enabled > 0 ? static_cast<double>(tally.held) / static_cast<double>(enabled) : 0.0;
}

}  // namespace gilknocker
