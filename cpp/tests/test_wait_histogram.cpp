#include <limits>
#include <map>

#include "check.hpp"
#include "gilknocker/wait_histogram.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kMax = std::numeric_limits<Nanos>::max();

void check_bucket_of(Nanos wait) {
  const std::size_t bucket = WaitHistogram::bucket_of(wait);
  if (!CHECK(bucket < WaitHistogram::kBuckets)) return;
  const Nanos lower = WaitHistogram::lower(bucket);
  const Nanos width = WaitHistogram::width(bucket);
  CHECK(lower <= wait);
  CHECK(wait - lower < width);
  if (wait < 128) {
    CHECK_EQ(lower, wait);
    CHECK_EQ(width, 1);
  } else {
    CHECK(width <= lower / 64);
    const double middle = static_cast<double>(lower) + static_cast<double>(width) / 2;
    CHECK_NEAR(middle, wait, 0.01 * static_cast<double>(wait));
  }
}

TEST(histogram_bucket_holds_its_wait) {
  for (int bit = 0; bit < 63; ++bit) {
    const Nanos power = Nanos{1} << bit;
    for (const Nanos wait : {power - 1, power, power + 1}) check_bucket_of(wait);
  }
  for (const Nanos wait : {Nanos{0}, kMax - 1, kMax}) check_bucket_of(wait);
  for_seeds(100'000, [](Random& random) {
    check_bucket_of(static_cast<Nanos>(random() >> integer_in(random, 1, 63)));
  });
}

TEST(histogram_buckets_follow_each_other_without_gap) {
  CHECK_EQ(WaitHistogram::lower(0), 0);
  for (std::size_t bucket = 0; bucket + 1 < WaitHistogram::kBuckets; ++bucket) {
    CHECK_EQ(WaitHistogram::lower(bucket) + WaitHistogram::width(bucket),
             WaitHistogram::lower(bucket + 1));
    CHECK_EQ(WaitHistogram::bucket_of(WaitHistogram::lower(bucket)), bucket);
  }
  const std::size_t last = WaitHistogram::kBuckets - 1;
  CHECK_EQ(WaitHistogram::bucket_of(kMax), last);
  CHECK_EQ(WaitHistogram::lower(last) + (WaitHistogram::width(last) - 1), kMax);
}

TEST(histogram_counts_negative_waits_as_none) {
  CHECK_EQ(WaitHistogram::bucket_of(-1), 0);
  CHECK_EQ(WaitHistogram::bucket_of(std::numeric_limits<Nanos>::min()), 0);
}

TEST(histogram_occupied_is_ascending_and_complete) {
  for_seeds(300, [](Random& random) {
    WaitHistogram histogram;
    std::map<std::size_t, std::int64_t> model;
    for (int epoch = 0; epoch < 3; ++epoch) {
      CHECK(histogram.occupied().empty());
      const std::int64_t waits = log_uniform_in(random, 1, 2'000);
      const Nanos longest = log_uniform_in(random, 1, kMax);
      for (std::int64_t i = 0; i < waits; ++i) {
        const Nanos wait = integer_in(random, 0, longest);
        histogram.add(wait);
        ++model[WaitHistogram::bucket_of(wait)];
      }
      const std::vector<HistogramBucket> occupied = histogram.occupied();
      if (!CHECK_EQ(occupied.size(), model.size())) return;
      auto expected = model.begin();  // a map is ascending
      for (const HistogramBucket& bucket : occupied) {
        CHECK_EQ(bucket.bucket, expected->first);
        CHECK_EQ(bucket.count, expected->second);
        ++expected;
      }
      histogram.clear();
      model.clear();
    }
  });
}

TEST(histogram_finds_its_first_and_last_bucket) {
  WaitHistogram histogram;
  histogram.add(kMax);
  histogram.add(0);
  REQUIRE(histogram.occupied().size() == 2);
  CHECK_EQ(histogram.occupied()[0].bucket, 0);
  CHECK_EQ(histogram.occupied()[1].bucket, WaitHistogram::kBuckets - 1);
}

}  // namespace
}  // namespace gilknocker
