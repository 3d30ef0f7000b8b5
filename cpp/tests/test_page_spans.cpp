// Objects put together by the page, against the list of them.
#include <algorithm>
#include <memory>
#include <vector>

#include "check.hpp"
#include "gilknocker/page_spans.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

TEST(each_object_is_in_one_span_and_no_span_of_two_is_in_two_pages) {
  for_seeds(200, [](Random& random) {
    constexpr std::uint64_t kHeap = 0x7'0000'0000;
    PageSpans<32> spans;
    std::vector<PageSpan> objects;
    for (std::int64_t i = integer_in(random, 0, 60); i > 0; --i) {
      const std::uint64_t low =
          kHeap + 8 * static_cast<std::uint64_t>(integer_in(random, 0, 4'000));
      const std::uint64_t high = low + 8 * static_cast<std::uint64_t>(integer_in(random, 1, 60));
      const std::size_t before = spans.count;
      spans.add(low, high);
      CHECK(spans.count - before <= 1);
      if (spans.find(low, high) != spans.count) objects.push_back({low, high});
      spans.add(low, high);  // it is there already
      CHECK(spans.count - before <= 1);
    }
    for (const PageSpan& object : objects) {
      for (std::size_t likely = 0; likely < spans.count; ++likely) {
        const std::size_t i = spans.find(object.low, object.high, likely);
        CHECK(i < spans.count && spans.spans[i].contains(object.low, object.high));
      }
    }
    for (std::size_t i = 0; i < spans.count; ++i) {
      const PageSpan& span = spans.spans[i];
      const bool of_one = std::any_of(objects.begin(), objects.end(), [&](const PageSpan& object) {
        return object.low == span.low && object.high == span.high;
      });
      CHECK(of_one || span.low / kPage == (span.high - 1) / kPage);
    }
  });
}

TEST(bytes_of_spans_lie_one_behind_the_other) {
  for_seeds(50, [](Random& random) {
    PageSpans<8> spans;
    for (std::uint64_t page = 1; page <= 8; ++page) {
      const auto size = static_cast<std::uint64_t>(integer_in(random, 1, kPage));
      spans.add(page * kPage, page * kPage + size);
    }
    const auto bytes = std::make_unique<SpanBytes<8>>();
    bytes->lay_out(spans);
    const unsigned char* end = bytes->bytes.data();
    for (std::size_t i = 0; i < spans.count; ++i) {
      CHECK(bytes->of(i) >= end && bytes->of(i) < end + 8);
      end = bytes->of(i) + spans.spans[i].size();
    }
    CHECK(end <= bytes->bytes.data() + bytes->bytes.size());
  });
}

TEST(what_finds_no_room_is_left_out_and_what_is_empty_is_dropped) {
  PageSpans<2> spans;
  for (std::uint64_t page = 1; page <= 3; ++page) spans.add(page * kPage, page * kPage + 8);
  CHECK_EQ(spans.count, 2);
  CHECK_EQ(spans.find(3 * kPage, 3 * kPage + 8), 2);
  spans.add(2 * kPage + 4'088, 3 * kPage);  // beside one that is there
  CHECK_EQ(spans.find(2 * kPage, 3 * kPage), 1);
  spans.empty(2);
  spans.spans[1].widen(2 * kPage, 2 * kPage + 8);
  spans.add(2 * kPage + 8, 2 * kPage + 16);
  CHECK_EQ(spans.count, 2);
  spans.drop_empty();
  CHECK_EQ(spans.count, 1);
  CHECK_EQ(spans.find(2 * kPage, 2 * kPage + 16), 0);
}

}  // namespace
}  // namespace gilknocker
