#include "gilknocker/wait_histogram.hpp"

#include <algorithm>
#include <bit>

namespace gilknocker {
namespace {

constexpr unsigned kExactBits = 7;      // values below 2^7 have a bucket each
constexpr std::size_t kPerOctave = 64;  // half of 2^7: the leading bit is always set

unsigned exponent_of(std::size_t bucket) noexcept {
  return bucket < 2 * kPerOctave ? 0U : static_cast<unsigned>(bucket / kPerOctave - 1);
}

}  // namespace

std::size_t WaitHistogram::bucket_of(Nanos wait) noexcept {
  const auto value = static_cast<std::uint64_t>(std::max<Nanos>(wait, 0));
  const auto bits = static_cast<unsigned>(std::bit_width(value));
  const unsigned exponent = bits > kExactBits ? bits - kExactBits : 0U;
  return kPerOctave * exponent + static_cast<std::size_t>(value >> exponent);
}

Nanos WaitHistogram::lower(std::size_t bucket) noexcept {
  const unsigned exponent = exponent_of(bucket);
  return static_cast<Nanos>((bucket - kPerOctave * exponent) << exponent);
}

Nanos WaitHistogram::width(std::size_t bucket) noexcept { return Nanos{1} << exponent_of(bucket); }

void WaitHistogram::add(Nanos wait) noexcept {
  const std::size_t bucket = bucket_of(wait);
  ++counts_[bucket];
  lowest_ = std::min(lowest_, bucket);
  highest_ = std::max(highest_, bucket);
}

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
