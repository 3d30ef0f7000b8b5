#include <algorithm>
#include <array>
#include <barrier>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"
#include "failing_memory.hpp"
#include "gilknocker/own_holders.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

TEST(own_holders_agree_with_a_set) {
  for_seeds(200, [](Random& random) {
    std::array<char, 150> states{};  // more than four blocks of slots
    OwnHolders holders;
    std::set<const void*> model;
    const double growth = real_in(random, 0.3, 0.9);
    for (int i = 0; i < 500; ++i) {
      const void* state = &states[random() % states.size()];
      if (model.contains(state)) {
        if (!chance(random, growth)) {
          holders.remove(state);
          model.erase(state);
        }
      } else if (chance(random, growth)) {
        holders.add(state);
        model.insert(state);
      } else {
        holders.remove(state);  // of what is not there: nothing
      }
      if (chance(random, 0.005)) {
        holders.clear();
        model.clear();
      }
      const void* asked = &states[random() % states.size()];
      CHECK_EQ(holders.contains(asked), model.contains(asked));
    }
    for (const char& state : states) CHECK_EQ(holders.contains(&state), model.contains(&state));
  });
}

TEST(own_holders_without_memory_stay_as_they_were) {
  std::array<char, 200> states{};
  OwnHolders holders;
  int failures = 0;
  for (std::size_t i = 0; i + 1 < states.size(); ++i) {
    bool failed = false;
    try {
      const FailingMemory memory(0);
      holders.add(&states[i]);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    CHECK_EQ(holders.contains(&states[i]), !failed);
    if (failed) {
      ++failures;
      holders.add(&states[i]);
    }
    CHECK(holders.contains(&states[i]));
    CHECK(!holders.contains(&states[i + 1]));
  }
  CHECK_EQ(failures, 6);  // 199 states in blocks of 32, the first of which is always there
}

TEST(own_holders_added_while_another_adds_a_block_are_both_there) {
  std::array<char, 34> states{};
  OwnHolders holders;
  for (std::size_t i = 0; i < 32; ++i) holders.add(&states[i]);
  {
    const AtAllocation other_is_faster([&] { holders.add(&states[33]); });
    holders.add(&states[32]);
  }
  for (const char& state : states) CHECK(holders.contains(&state));
}

// Each thread knows what it has added itself; all of them meet in the same slots, from
// empty again and again.
TEST(own_holders_of_many_threads_do_not_meet) {
  constexpr int kThreads = 4;
  constexpr int kRounds = static_cast<int>(2'000 / kSlowness);
  constexpr std::size_t kStates = 40;  // of each: together more than four blocks
  const char stranger = 0;
  std::unique_ptr<OwnHolders> holders;
  std::barrier all(kThreads, [&]() noexcept { holders = std::make_unique<OwnHolders>(); });
  const auto come_and_go = [&](std::uint64_t seed) {
    Random random(seed);
    for (int round = 0; round < kRounds; ++round) {
      all.arrive_and_wait();
      std::array<char, kStates> states{};
      for (const char& state : states) holders->add(&state);
      for (const char& state : states) CHECK(holders->contains(&state));
      std::array<bool, kStates> removed{};
      for (int i = 0; i < 20; ++i) {
        const std::size_t which = random() % kStates;
        removed[which] ? holders->add(&states[which]) : holders->remove(&states[which]);
        removed[which] = !removed[which];
        const std::size_t asked = random() % kStates;
        CHECK_EQ(holders->contains(&states[asked]), !removed[asked]);
        CHECK(!holders->contains(&stranger));
      }
      for (const char& state : states) holders->remove(&state);
      CHECK(std::none_of(states.begin(), states.end(),
                         [&](const char& state) { return holders->contains(&state); }));
    }
  };
  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < kThreads; ++i) threads.emplace_back(come_and_go, i);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gilknocker
