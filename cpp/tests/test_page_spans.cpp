// Objects put together by the page, against the list of them.
#include <algorithm>
#include <memory>
#include <vector>

#include "check.hpp"
#include "gilknocker/page_spans.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

// Whether the objects of a span leave no gap that is large.
bool is_close(const PageSpan& span, std::vector<PageSpan> objects) {
  std::sort(objects.begin(), objects.end(),
            [](const PageSpan& a, const PageSpan& b) { return a.low < b.low; });
  std::uint64_t end = span.low;
  for (const PageSpan& object : objects) {
    if (!span.contains(object.low, object.high)) continue;
    const bool same_page = object.low / kPage == (end - (end > span.low ? 1 : 0)) / kPage;
    if (object.low > end + PageSpan::kClose && !same_page) return false;
    end = std::max(end, object.high);
  }
  return true;
}

TEST(each_object_is_in_one_span_and_no_span_of_two_that_are_far_from_each_other_is_in_two_pages) {
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
      CHECK(span.low / kPage == (span.high - 1) / kPage || is_close(span, objects));
      CHECK(span.size() <= PageSpan::kLargest);
    }
  });
}

TEST(objects_that_follow_each_other_are_one_span_until_it_is_too_large) {
  PageSpans<8> spans;
  constexpr std::uint64_t kTop = 100 * kPage;
  constexpr std::uint64_t kObject = 200;
  for (std::uint64_t i = 1; i <= 120; ++i) spans.add(kTop - i * kObject, kTop - i * kObject + 72);
  CHECK_EQ(spans.count, 2);
  CHECK_EQ(spans.find(kTop - 4 * kPage + 300, kTop - 300), 0);
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

TEST(bytes_that_find_no_room_are_left_out) {
  PageSpans<3> spans;
  for (const std::uint64_t begin : {100 * kPage, 200 * kPage, 300 * kPage}) {
    for (std::uint64_t at = begin; at < begin + PageSpan::kLargest / 2; at += 64) {
      spans.add(at, at + 64);
    }
  }
  CHECK_EQ(spans.count, 3);
  CHECK_EQ(std::make_unique<SpanBytes<3>>()->lay_out(spans), 1);
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
