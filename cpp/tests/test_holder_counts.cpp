// Who held the GIL, by looks.
#include <map>

#include "check.hpp"
#include "gilknocker/holder_counts.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

HolderId thread(std::uint64_t serial) { return {serial, 10 * serial, 7}; }

std::map<std::uint64_t, std::int64_t> ticks_of(const HolderCounts& counts) {
  std::map<std::uint64_t, std::int64_t> ticks;
  for (const HolderCount& one : counts.all()) ticks[one.id.serial] += one.ticks;
  return ticks;
}

TEST(holder_counts_agree_with_a_map) {
  for_seeds(200, [](Random& random) {
    HolderCounts counts;
    std::map<std::uint64_t, std::int64_t> expected;
    const std::int64_t threads = integer_in(random, 1, 400);
    for (int i = 0; i < 1'000; ++i) {
      const auto serial = static_cast<std::uint64_t>(integer_in(random, 1, threads));
      counts.add(thread(serial));
      const bool room =
          expected.count(serial) != 0 ||
          expected.size() - expected.count(0) < static_cast<std::size_t>(HolderCounts::kMost);
      ++expected[room ? serial : 0];
    }
    CHECK(ticks_of(counts) == expected);
  });
}

TEST(holder_counts_ask_for_each_name_once) {
  HolderCounts counts;
  for (std::uint64_t serial = 1; serial <= 6; ++serial) counts.add(thread(serial));
  std::size_t asked = 0;
  for (Unnamed found = counts.unnamed(); found.count != 0; found = counts.unnamed()) {
    CHECK(found.count <= Unnamed::kMost);
    for (std::size_t i = 0; i < found.count; ++i) {
      found.names[i][0] = static_cast<char>('a' + found.ids[i].serial);
    }
    asked += found.count;
    counts.name(found);
  }
  CHECK_EQ(asked, 6U);
  for (const HolderCount& one : counts.all()) {
    CHECK_EQ(one.name[0], static_cast<char>('a' + one.id.serial));
  }
}

TEST(holder_counts_begin_anew) {
  HolderCounts counts;
  counts.add(thread(1));
  const Unnamed asked = counts.unnamed();
  counts.clear();
  counts.name(asked);  // an answer to what is forgotten
  CHECK(counts.all().empty());
  CHECK_EQ(counts.unnamed().count, 0U);
  counts.add(thread(1));
  CHECK_EQ(counts.unnamed().count, 1U);
}

TEST(holder_counts_name_no_crowd) {
  HolderCounts counts;
  for (std::uint64_t serial = 1; serial <= 300; ++serial) counts.add(thread(serial));
  CHECK_EQ(counts.all().size(), 257U);
  for (Unnamed found = counts.unnamed(); found.count != 0; found = counts.unnamed()) {
    for (std::size_t i = 0; i < found.count; ++i) CHECK(found.ids[i] != HolderId{});
    counts.name(found);
  }
  CHECK_EQ(ticks_of(counts)[0], 44);
}

}  // namespace
}  // namespace gilknocker
