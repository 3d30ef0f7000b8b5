// Random cases, each with a seed of its own that is said with every failure of it.
//
// The seeds are 1..count, so that a run repeats the one before; GILKNOCKER_SEED=N runs case N
// alone.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <string>

#include "check.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

using Random = std::mt19937_64;

// ThreadSanitizer makes these serial cases ten times slower, and has nothing to find in them.
#if defined(__SANITIZE_THREAD__)
inline constexpr std::uint64_t kSlowness = 5;
#else
inline constexpr std::uint64_t kSlowness = 1;
#endif

template <typename Body>
void for_seeds(std::uint64_t count, Body body) {
  const char* only = std::getenv("GILKNOCKER_SEED");
  const std::uint64_t first = only != nullptr ? std::strtoull(only, nullptr, 10) : 1;
  const std::uint64_t last = only != nullptr ? first : count / kSlowness;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    check::note() = "GILKNOCKER_SEED=" + std::to_string(seed);
    Random random(seed);
    body(random);
  }
  check::note().clear();
}

// Both bounds included.
inline std::int64_t integer_in(Random& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

inline double real_in(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

inline bool chance(Random& random, double probability) {
  return real_in(random, 0, 1) < probability;
}

// As likely between 1 and 10 as between 10 and 100.
inline Nanos log_uniform_in(Random& random, Nanos low, Nanos high) {
  const double exponent =
      real_in(random, std::log(static_cast<double>(low)), std::log(static_cast<double>(high)));
  return static_cast<Nanos>(std::exp(exponent));
}

inline Nanos exponential(Random& random, double mean) {
  return static_cast<Nanos>(std::exponential_distribution<double>(1 / mean)(random));
}

}  // namespace gilknocker
