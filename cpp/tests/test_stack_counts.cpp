// How often each stack was seen, and the looks that counted it.
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/held_stacks.hpp"
#include "gilknocker/native_proof.hpp"
#include "gilknocker/stack_counts.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

using Stack = FrameTable::Stack;

HolderId thread(std::uint64_t serial) { return {serial, 10 * serial, 7}; }

TEST(stack_counts_agree_with_a_map) {
  for_seeds(50, [](Random& random) {
    StackCounts counts;
    std::map<std::pair<Stack, std::uint64_t>, std::int64_t> expected;
    for (int i = 0; i < 3'000; ++i) {
      Stack stack;
      for (auto depth = integer_in(random, 0, 4); depth != 0; --depth) {
        stack.push_back(static_cast<FrameTable::Id>(integer_in(random, 0, 5)));
      }
      const auto serial = static_cast<std::uint64_t>(integer_in(random, 0, 2));
      for (auto times = integer_in(random, 1, 3); times != 0; --times) {
        counts.add(stack, thread(serial), {1, 0, 0});
        ++expected[{stack, serial}];
      }
      if (chance(random, 0.001)) {
        counts.clear();
        counts.add(stack, thread(serial), {1, 0, 0});
        expected = {{{stack, serial}, 1}};
      }
    }
    std::map<std::pair<Stack, std::uint64_t>, std::int64_t> found;
    for (const StackCount& one : counts.all()) {
      found[{one.frames, one.thread.serial}] += one.tally.ticks;
    }
    CHECK(found == expected);
    CHECK_EQ(counts.folded().ticks, 0);
  });
}

TEST(of_a_million_stacks_the_most_seen_are_kept_and_no_look_is_lost) {
  StackCounts counts;
  std::int64_t looks = 0;
  for (FrameTable::Id id = 0; id < 1'000'000; ++id) {
    counts.add({1, 2, id}, thread(1), {1, 0, 0});
    ++looks;
    if (id % 100 != 0) continue;
    counts.add({7}, thread(1), {1, 1, 1});  // seen again and again
    ++looks;
  }
  std::int64_t kept = 0;
  std::int64_t often = 0;
  for (const StackCount& one : counts.all()) {
    kept += one.tally.ticks;
    if (one.frames == Stack{7}) often = one.tally.ticks;
  }
  CHECK(counts.all().size() <= StackCounts::kMost);
  CHECK_EQ(kept + counts.folded().ticks, looks);
  CHECK_EQ(often, 10'000);
}

class SteadyHolder final : public Gil {
 public:
  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override { return Look::kHeld; }
  std::optional<HolderMark> mark() const noexcept override { return now; }
  std::optional<HolderId> identify(const StateCopy&) const noexcept override { return thread(3); }
  bool asked_to_let_go(const HolderMark&) const noexcept override { return asked; }
  bool asked_to_let_go(const StateCopy&) const noexcept override { return asked; }
  std::unique_ptr<OwnThreadState> open_state() override { return nullptr; }

  std::optional<HolderMark> now = HolderMark{FakePython::kThread, 1};
  bool asked = false;
};

TEST(native_code_is_proven_by_a_hold_that_goes_on_though_it_was_asked_to_end) {
  constexpr Nanos kMillisecond = 1'000'000;
  SteadyHolder gil;
  gil.asked = true;
  Nanos cpu = 0;
  NativeProof proof(gil);
  const auto look = [&](Nanos at) { return proof.look(*gil.now, {}, at, [&] { return cpu; }); };
  CHECK(!look(0));
  cpu = 5 * kMillisecond;
  CHECK(!look(4 * kMillisecond));
  CHECK(look(5 * kMillisecond));
  gil.asked = false;
  CHECK(!look(6 * kMillisecond));
  gil.asked = true;
  CHECK(!look(7 * kMillisecond));
  CHECK(!look(20 * kMillisecond));  // it had no CPU to give way in
}

// The looking thread had no CPU after it took the mark, and the same thread is asked in a hold of
// later by now.
TEST(what_is_seen_of_a_later_hold_proves_nothing_of_an_earlier) {
  constexpr Nanos kMillisecond = 1'000'000;
  SteadyHolder gil;
  gil.asked = true;
  NativeProof proof(gil);
  const HolderMark mark = *gil.now;
  CHECK(!proof.look(mark, {}, 0, [] { return Nanos{0}; }));
  const bool native = proof.look(mark, {}, 10 * kMillisecond, [&] {
    gil.now = HolderMark{mark.state, mark.turn + 2};
    return 10 * kMillisecond;
  });
  CHECK(!native);
}

struct Watched {
  FakePython python{Layout::kCurrentFrame};
  SteadyHolder gil;
  FakeClock clock{1'000'000'000};
  Ledger ledger{clock, 16};
};

// HeldStacks reads a process: these tests have none, so all that it can tell is that it cannot.
TEST(looks_that_cannot_tell_are_unknown_and_not_lost) {
  Watched one;
  const auto stacks =
      std::make_unique<HeldStacks>(one.gil, one.clock, one.ledger, 0, one.python.offsets);
  for (int i = 0; i < 5; ++i) {
    const std::optional<HolderId> holder = stacks->held(one.clock.now());
    CHECK(holder == thread(3));
  }
  one.gil.now = std::nullopt;  // let go of since the look
  stacks->held(one.clock.now());
  CHECK_EQ(stacks->read().unknown.ticks, 6);
  CHECK_EQ(stacks->read().stacks.size(), 0);
  one.clock.advance(1);
  stacks->reset();
  stacks->held(one.clock.now() - 1);  // looked before the reset
  CHECK_EQ(stacks->read().unknown.ticks, 0);
}

TEST(who_waits_for_a_hold_that_was_retaken_is_counted_for_it) {
  Watched one;
  const auto waiters = std::make_shared<WaiterCount>();
  HeldStacks stacks(one.gil, one.clock, one.ledger, 0, one.python.offsets, waiters);
  waiters->began();
  stacks.held(one.clock.now());
  waiters->held(true);
  waiters->began();
  stacks.held(one.clock.now());
  waiters->held(false);
  stacks.held(one.clock.now());
  const StackTally unknown = stacks.read().unknown;
  CHECK_EQ(unknown.waited, 5);
  CHECK_EQ(unknown.retaken, 2);
  waiters->held(true);
  waiters->clear();
  CHECK(!waiters->retaken());
}

}  // namespace
}  // namespace gilknocker
