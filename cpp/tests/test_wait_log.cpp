#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <vector>

#include "check.hpp"
#include "failing_memory.hpp"
#include "gilknocker/wait_log.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

// A view, and what it must say for ever.
struct Taken {
  WaitView view;
  std::int64_t first;
  std::vector<WaitEntry> entries;
};

void check_view(const Taken& taken) {
  if (!CHECK_EQ(taken.view.size(), taken.entries.size())) return;
  CHECK_EQ(taken.view.first_sequence(), taken.first);
  std::vector<Nanos> waits(taken.entries.size());
  std::vector<Nanos> times(taken.entries.size());
  taken.view.copy_waits(waits.data());
  taken.view.copy_times(times.data());
  for (std::size_t i = 0; i < waits.size(); ++i) {
    CHECK_EQ(waits[i], taken.entries[i].wait);
    CHECK_EQ(times[i], taken.entries[i].asked);
  }
}

Taken since(const Taken& taken, std::int64_t sequence) {
  const std::int64_t size = static_cast<std::int64_t>(taken.entries.size());
  const std::int64_t skip = std::clamp<std::int64_t>(sequence - taken.first, 0, size);
  return {taken.view.since(sequence),
          taken.first + skip,
          {taken.entries.begin() + skip, taken.entries.end()}};
}

// The log, beside a deque that does the same.
class LogAndModel {
 public:
  explicit LogAndModel(std::size_t capacity) : capacity_(capacity), log_(capacity) {}

  void append(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const WaitEntry entry{1'000 * next_, next_};
      ++next_;
      log_.append(entry);
      newest_.push_back(entry);
      if (newest_.size() > capacity_) newest_.pop_front();
      ++appended_;
    }
  }
  void clear() {
    log_.clear();
    newest_.clear();
    appended_ = 0;
  }
  Taken take() const {
    return {log_.view(),
            appended_ - static_cast<std::int64_t>(newest_.size()),
            {newest_.begin(), newest_.end()}};
  }

 private:
  const std::size_t capacity_;
  WaitLog log_;
  std::deque<WaitEntry> newest_;
  std::int64_t appended_ = 0;
  Nanos next_ = 1;
};

std::size_t random_capacity(Random& random) {
  constexpr auto kChunk = static_cast<std::int64_t>(WaitChunk::kEntries);
  constexpr std::array<std::int64_t, 9> special{
      0, 1, kChunk - 1, kChunk, kChunk + 1, 2 * kChunk - 1, 2 * kChunk, 2, 3 * kChunk + 1};
  return static_cast<std::size_t>(chance(random, 0.7) ? special[random() % special.size()]
                                                      : integer_in(random, 0, 20'000));
}

TEST(log_keeps_the_newest_and_views_never_change) {
  const NothingLeft nothing_left;
  for_seeds(150, [](Random& random) {
    const std::size_t capacity = random_capacity(random);
    LogAndModel both(capacity);
    std::deque<Taken> views{both.take()};  // which moves none of them
    for (int i = 0; i < 12; ++i) {
      both.append(static_cast<std::size_t>(chance(random, 0.3) ? integer_in(random, 0, 3)
                                                               : log_uniform_in(random, 1, 9'000)));
      if (chance(random, 0.1)) both.clear();
      views.push_back(both.take());
      const Taken& last = views.back();
      const auto size = static_cast<std::int64_t>(last.entries.size());
      views.push_back(since(last, integer_in(random, last.first - 2, last.first + size + 2)));
      views.push_back(since(views.back(), integer_in(random, last.first, last.first + size)));
    }
    for (const Taken& taken : views) check_view(taken);
  });
}

TEST(log_drops_chunks_that_nobody_needs) {
  const NothingLeft nothing_left;
  for_seeds(60, [](Random& random) {
    const std::size_t capacity = random_capacity(random);
    WaitLog log(capacity);
    for (int i = 0; i < 40'000; ++i) log.append({i, i});
    CHECK(WaitChunk::value() <= static_cast<long>(capacity / WaitChunk::kEntries + 2));
    CHECK_EQ(WaitChunk::value() == 0, capacity == 0);
    log.clear();
    CHECK_EQ(WaitChunk::value(), 0);
  });
}

TEST(views_share_full_chunks_and_copy_the_last) {
  const NothingLeft nothing_left;
  WaitLog log(1'000'000);
  for (std::size_t i = 0; i < 3 * WaitChunk::kEntries + 5; ++i) log.append({0, 0});
  CHECK_EQ(WaitChunk::value(), 4);
  {
    const WaitView first = log.view();
    CHECK_EQ(WaitChunk::value(), 5);
    const WaitView second = log.view();
    const WaitView copy = second;
    CHECK_EQ(WaitChunk::value(), 6);
    const WaitView newest = second.since(3 * WaitChunk::kEntries);
    CHECK_EQ(newest.size(), 5);
    CHECK_EQ(WaitChunk::value(), 6);
    log.clear();  // what views hold stays
    CHECK_EQ(WaitChunk::value(), 5);
  }
  CHECK_EQ(WaitChunk::value(), 0);
  for (std::size_t i = 0; i < 2 * WaitChunk::kEntries; ++i) log.append({0, 0});
  const WaitView full = log.view();
  CHECK_EQ(WaitChunk::value(), 2);
}

TEST(log_without_memory_forgets_the_old_and_goes_on) {
  const NothingLeft nothing_left;
  for (int before = 0; before < 5; ++before) {
    LogAndModel both(10'000);
    both.append(2 * WaitChunk::kEntries);  // full: the next needs a chunk
    const Taken taken = both.take();
    WaitLog log(10'000);
    for (std::size_t i = 0; i < 2 * WaitChunk::kEntries; ++i) log.append({0, 1});
    bool failed = false;
    {
      const FailingMemory memory(before);
      log.append({0, 2});
      failed = memory.has_failed();
    }
    log.append({0, 3});
    const WaitView view = log.view();
    const auto appended = static_cast<std::int64_t>(2 * WaitChunk::kEntries + 2);
    CHECK_EQ(view.first_sequence() + static_cast<std::int64_t>(view.size()), appended);
    CHECK_EQ(view.size(), failed ? std::size_t{1} : 2 * WaitChunk::kEntries + 2);
    CHECK_EQ(failed, before < 2);  // the chunk and its entries; the deque rarely needs any
    check_view(taken);
  }
}

}  // namespace
}  // namespace gilknocker
