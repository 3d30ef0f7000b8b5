// Where small objects lie, put together by the page: a page is there or is not, and to read one
// object of it costs a system call as much as to read eight. Those that follow each other closely
// are put together across pages, too: so frames lie in a thread's data stack.
//
// Thread safety: none.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace gilknocker {

inline constexpr std::uint64_t kPage = 4096;

// From the lowest object to the end of the highest; empty at first.
struct PageSpan {
  static constexpr std::uint64_t kClose = 256;  // bytes between two objects
  static constexpr std::uint64_t kLargest = 4 * kPage;

  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool empty() const noexcept { return high == 0; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(high - low); }
  bool contains(std::uint64_t from, std::uint64_t to) const noexcept {
    return from >= low && to <= high;
  }
  // Whether there is room for that in it, and it is so then.
  bool widen(std::uint64_t from, std::uint64_t to) noexcept {
    if (contains(from, to)) return true;
    const std::uint64_t lowest = empty() ? from : std::min(low, from);
    const std::uint64_t highest = std::max(high, to);
    if (!empty() && lowest / kPage != (highest - 1) / kPage) {
      const bool is_close = from <= high + kClose && low <= to + kClose;
      if (!is_close || highest - lowest > kLargest) return false;
    }
    low = lowest;
    high = highest;
    return true;
  }
};

// What finds no room is left out.
template <std::size_t N>
struct PageSpans {
  static constexpr std::size_t kMost = N;

  std::size_t count = 0;
  std::array<PageSpan, N> spans;

  // The index of what holds it now, or N. The newest first, for one object is often beside the
  // next; none that is empty, whose place may mean something.
  std::size_t add(std::uint64_t from, std::uint64_t to) noexcept {
    for (std::size_t i = count; i-- > 0;) {
      if (!spans[i].empty() && spans[i].widen(from, to)) return i;
    }
    if (count == N) return N;
    spans[count] = {from, to};
    return count++;
  }
  void drop_empty() noexcept {
    const auto end =
        std::remove_if(spans.begin(), spans.begin() + static_cast<std::ptrdiff_t>(count),
                       [](const PageSpan& span) { return span.empty(); });
    count = static_cast<std::size_t>(end - spans.begin());
  }
  // The index of one that contains it, and `count` if none does; that at `likely` is the first
  // asked.
  std::size_t find(std::uint64_t from, std::uint64_t to, std::size_t likely = 0) const noexcept {
    for (std::size_t i = 0, k = likely; i < count; ++i, ++k) {
      if (k == count) k = 0;
      if (spans[k].contains(from, to)) return k;
    }
    return count;
  }
  // So many that are empty, and no others.
  void empty(std::size_t of) noexcept {
    count = of;
    std::fill_n(spans.begin(), count, PageSpan{});
  }
};

// What was read of so many spans, one behind the other: they take few pages and cache lines of
// ours.
template <std::size_t N>
struct SpanBytes {
  std::array<std::size_t, N> starts;
  std::array<unsigned char, N * kPage> bytes;

  // How many of them there is room for.
  std::size_t lay_out(const PageSpans<N>& spans) noexcept {
    constexpr std::size_t kWord = sizeof(std::uint64_t);
    std::size_t start = 0;
    for (std::size_t i = 0; i < spans.count; ++i) {
      starts[i] = start;
      start += (spans.spans[i].size() + kWord - 1) / kWord * kWord;
      if (start > bytes.size()) return i;
    }
    return spans.count;
  }
  unsigned char* of(std::size_t i) noexcept { return bytes.data() + starts[i]; }
  const unsigned char* of(std::size_t i) const noexcept { return bytes.data() + starts[i]; }
};

}  // namespace gilknocker
