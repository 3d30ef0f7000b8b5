// All waits for ever, in constant memory: a log-linear histogram in the manner of HdrHistogram.
//
// Values below 128 ns have a bucket each; above, every power of two has 64, so a bucket's width is
// at most 1/64 of its values and its midpoint at most 0.8 % off.
//
// Thread safety: none; the ledger's mutex guards it.
#pragma once

#include <array>
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

  static std::size_t bucket_of(Nanos wait) noexcept;  // negative waits count as 0
  static Nanos lower(std::size_t bucket) noexcept;    // the least wait in it
  static Nanos width(std::size_t bucket) noexcept;

  void add(Nanos wait) noexcept;
  void clear() noexcept;
  // The occupied buckets, in ascending order.
  std::vector<HistogramBucket> occupied() const;

 private:
  std::array<std::int64_t, kBuckets> counts_{};
  std::size_t lowest_ = kBuckets;  // of the occupied ones: they usually are few and close
  std::size_t highest_ = 0;
};

}  // namespace gilknocker
