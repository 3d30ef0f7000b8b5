#include "gilknocker/wait_histogram.hpp"

#include <algorithm>

namespace gilknocker {

unsigned WaitHistogram::exponent_of(std::size_t bucket) noexcept {
  return bucket < 2 * kPerOctave ? 0U : static_cast<unsigned>(bucket / kPerOctave - 1);
}

Nanos WaitHistogram::lower(std::size_t bucket) noexcept {
  const unsigned exponent = exponent_of(bucket);
  return static_cast<Nanos>((bucket - kPerOctave * exponent) << exponent);
}

Nanos WaitHistogram::width(std::size_t bucket) noexcept { return Nanos{1} << exponent_of(bucket); }

void WaitHistogram::clear() noexcept {
  counts_.fill(0);
  lowest_ = kBuckets;
  highest_ = 0;
}

std::vector<HistogramBucket> WaitHistogram::occupied() const {
  std::vector<HistogramBucket> result;
  for (std::size_t bucket = lowest_; bucket <= highest_ && bucket < kBuckets; ++bucket) {
    if (counts_[bucket] != 0) {
      result.push_back({static_cast<std::int64_t>(bucket), counts_[bucket]});
    }
  }
  return result;
}

}  // namespace gilknocker
