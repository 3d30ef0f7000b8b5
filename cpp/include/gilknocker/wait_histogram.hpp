// All waits for ever, in constant memory: a log-linear histogram in the manner of HdrHistogram.
//
// Values below 128 ns have a bucket each; above, every power of two has 64, so a bucket's width is
// at most 1/64 of its values and its midpoint at most 0.8 % off.
//
// Thread safety: none; the ledger's mutex guards it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "gilknocker/nanos.hpp"

namespace gilknocker {

struct HistogramBucket {
  std::int64_t bucket;
  std::int64_t count;
};

class WaitHistogram {
 public:
  static constexpr std::size_t kBuckets = 3712;  // bucket_of(2^63 - 1) + 1

  // Negative waits count as 0.
  static std::size_t bucket_of(Nanos wait) noexcept {
    const auto value = static_cast<std::uint64_t>(std::max<Nanos>(wait, 0));
    const auto exponent = static_cast<unsigned>(std::bit_width(value | kExact)) - kExactBits;
    return kPerOctave * exponent + static_cast<std::size_t>(value >> exponent);
  }
  static Nanos lower(std::size_t bucket) noexcept;  // the least wait in it
  static Nanos width(std::size_t bucket) noexcept;

  void add(Nanos wait) noexcept {
    const std::size_t bucket = bucket_of(wait);
    if (counts_[bucket]++ == 0) [[unlikely]]
      widen(bucket);
  }
  void clear() noexcept;
  // The occupied buckets, in ascending order.
  std::vector<HistogramBucket> occupied() const;

 private:
  static constexpr unsigned kExactBits = 7;  // values below 2^7 have a bucket each
  static constexpr std::uint64_t kExact = (1U << kExactBits) - 1;
  static constexpr std::size_t kPerOctave = 64;  // half of 2^7: the leading bit is always set

  static unsigned exponent_of(std::size_t bucket) noexcept;
  void widen(std::size_t bucket) noexcept {
    lowest_ = std::min(lowest_, bucket);
    highest_ = std::max(highest_, bucket);
  }

  std::array<std::int64_t, kBuckets> counts_{};
  std::size_t lowest_ = kBuckets;  // of the occupied ones: they usually are few and close
  std::size_t highest_ = 0;
};

}  // namespace gilknocker
