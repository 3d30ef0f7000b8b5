// Records of threads: each its own, given back when it ends.
#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "check.hpp"
#include "gilknocker/per_thread.hpp"

namespace gilknocker {
namespace {

struct Thing {
  std::uint64_t number = 7;
  std::uint64_t again = 7;
};

PerThread<Thing>& things(std::size_t most) {
  // As in the meter never destroyed; kept where a leak checker finds them.
  static auto* const kept = new std::vector<PerThread<Thing>*>;
  PerThread<Thing>& all = *kept->emplace_back(new PerThread<Thing>);
  REQUIRE(all.prepare(most) == nullptr);
  return all;
}

template <typename Work>
void in_thread(Work work) {
  std::thread(work).join();
}

TEST(per_thread_each_has_its_own_and_keeps_it) {
  PerThread<Thing>& all = things(4);
  CHECK(all.known() == nullptr);
  Thing* const mine = all.mine();
  REQUIRE(mine != nullptr);
  mine->number = 1;
  CHECK(all.mine() == mine && all.known() == mine);
  in_thread([&] {
    CHECK(all.known() == nullptr);
    CHECK(all.mine() != nullptr && all.mine() != mine);
    CHECK_EQ(all.mine()->number, 7U);
  });
  CHECK_EQ(mine->number, 1U);
}

TEST(per_thread_tells_when_a_thread_has_ended) {
  PerThread<Thing>& all = things(1);
  const std::atomic<std::uint32_t>* ends = nullptr;
  std::uint32_t before = 0;
  in_thread([&] {
    ends = PerThread<Thing>::ends_of(all.mine());
    before = ends->load();
    CHECK_EQ(all.mine()->number, 7U);
    CHECK_EQ(ends->load(), before);
  });
  CHECK(ends->load() != before);
  in_thread([&] {  // the next one has the same record, and another end
    CHECK(PerThread<Thing>::ends_of(all.mine()) == ends);
    before = ends->load();
  });
  CHECK(ends->load() != before);
}

TEST(per_thread_of_threads_that_end_is_given_out_again_as_new) {
  PerThread<Thing>& all = things(2);
  all.mine();
  for (int i = 0; i < 500; ++i) {
    in_thread([&] {
      REQUIRE(all.mine() != nullptr);
      CHECK_EQ(all.mine()->number, 7U);
      all.mine()->number = 8;
    });
  }
}

TEST(per_thread_without_room_there_is_none_until_somebody_ends) {
  PerThread<Thing>& all = things(1);
  in_thread([&] {
    CHECK(all.mine() != nullptr);
    in_thread([&] { CHECK(all.mine() == nullptr); });
  });
  CHECK(all.mine() != nullptr);
}

TEST(per_thread_no_two_threads_have_the_same) {
  constexpr std::size_t kThreads = 8;
  PerThread<Thing>& all = things(kThreads);
  std::atomic<std::uint64_t> next{0};
  std::atomic<int> wrong{0};
  const auto live = [&] {
    Thing* const mine = all.mine();
    if (mine == nullptr || mine->number != 7 || mine->again != 7) {
      ++wrong;
      return;
    }
    const std::uint64_t number = ++next + 100;
    for (int i = 0; i < 100; ++i) {
      mine->number = mine->again = number;
      std::this_thread::yield();
      wrong += mine->number != number || mine->again != number || all.known() != mine;
    }
  };
  std::vector<std::thread> spawners;
  for (std::size_t i = 0; i < kThreads; ++i) {
    spawners.emplace_back([&] {
      for (int life = 0; life < 100; ++life) in_thread(live);
    });
  }
  for (std::thread& spawner : spawners) spawner.join();
  CHECK_EQ(wrong.load(), 0);
}

PerThread<Thing>* seen_by_a_destructor = nullptr;
int found_at_the_end = 0;

void look_at_the_end(void*) { found_at_the_end += seen_by_a_destructor->known() != nullptr; }

// A destructor may take the GIL: what it does is still that thread's.
TEST(per_thread_is_there_for_the_destructors_of_others) {
  const ThreadKey before(&look_at_the_end);
  PerThread<Thing>& all = things(1);
  const ThreadKey after(&look_at_the_end);
  seen_by_a_destructor = &all;
  for (int life = 1; life <= 3; ++life) {
    in_thread([&] {
      CHECK(all.mine() != nullptr);
      CHECK(before.set(&all) && after.set(&all));
    });
    CHECK_EQ(found_at_the_end, 2 * life);
  }
}

TEST(per_thread_a_forked_child_keeps_the_one_of_its_thread) {
  PerThread<Thing>& all = things(2);
  all.mine();
  in_thread([&] {
    Thing* const mine = all.mine();
    mine->number = 1;
    // As if this one were the child's thread, and the other had been left in the parent.
    all.keep_only_mine();
    in_thread([&] {
      CHECK(all.mine() != nullptr && all.mine() != mine);
      in_thread([&] { CHECK(all.mine() == nullptr); });
    });
    CHECK(all.mine() == mine);
    CHECK_EQ(mine->number, 1U);
  });
}

}  // namespace
}  // namespace gilknocker

#endif
