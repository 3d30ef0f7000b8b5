// The watch for stalls in simulated time: a GIL that is held as the test says, an output that takes
// what it is given, or not.
#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/stall_watch.hpp"
#include "nothing_left.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kMilli = 1'000'000;
constexpr Nanos kLook = 5 * kMilli;

class HeldGil final : public Gil {
 public:
  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override { return held ? Look::kHeld : Look::kFree; }
  std::optional<HolderMark> mark() const noexcept override {
    return held ? std::optional(now) : std::nullopt;
  }
  StateCopy copy_state(const HolderMark& mark) const noexcept override {
    copied = mark;
    return {};
  }
  std::optional<HolderId> identify(const StateCopy&) const noexcept override {
    return HolderId{copied.turn, 77, 4711};
  }
  bool asked_to_let_go(const HolderMark&) const noexcept override { return asked; }
  std::unique_ptr<OwnThreadState> open_state() override { return nullptr; }

  bool held = false;
  bool asked = false;
  HolderMark now{FakePython::kThread, 1};
  mutable HolderMark copied;
};

class Neighbours final : public Surroundings {
 public:
  ThreadName name_of(std::uint64_t, std::int64_t native_id) const noexcept override {
    return native_id == 4711 ? ThreadName{"worker"} : ThreadName{"other"};
  }
  std::optional<Nanos> cpu_of(std::int64_t) const noexcept override { return cpu; }
  std::optional<int> collecting() const noexcept override { return generation; }
  std::optional<std::size_t> waiters(const Gil&, bool,
                                     std::span<std::int64_t> found) const noexcept override {
    for (std::size_t i = 0; i < std::min(waiting, found.size()); ++i) {
      found[i] = static_cast<std::int64_t>(100 + i);
    }
    return waiting;
  }

  Nanos cpu = 0;
  std::optional<int> generation;
  std::size_t waiting = 0;
};

class Written final : public StallOutput {
 public:
  explicit Written(std::vector<std::string>& to, const bool& full) : to_(to), full_(full) {}
  bool write(std::string_view words) noexcept override {
    if (full_) return false;
    to_.emplace_back(words);
    return true;
  }

 private:
  std::vector<std::string>& to_;
  const bool& full_;
};

struct Watching {
  explicit Watching(StallFormat format = StallFormat::kText) {
    plan.longer_than = 200 * kMilli;
    plan.format = format;
    plan.stacks = &python.offsets;
    watch = std::make_unique<StallWatch>(gil, clock, ledger, neighbours, python.memory, plan,
                                         std::make_unique<Written>(told, full));
  }

  // Looks each 5 ms for so long.
  void pass(Nanos duration) {
    for (Nanos passed = 0; passed < duration; passed += kLook) {
      clock.advance(kLook);
      neighbours.cpu += kLook;
      watch->looked(clock.now(), gil.look());
    }
  }
  // Held for so long by a thread that is asked and does not give way; free then.
  void stall(Nanos duration) {
    ++gil.now.turn;
    gil.held = gil.asked = true;
    pass(duration);
    gil.held = gil.asked = false;
    pass(2 * kLook);
  }
  bool says(std::size_t block, std::string_view words) const {
    return block < told.size() && told[block].find(words) != std::string::npos;
  }

  FakePython python{Layout::kCurrentFrame};
  HeldGil gil;
  FakeClock clock{1'000'000'000};
  Ledger ledger{clock, 0};
  Neighbours neighbours;
  std::vector<std::string> told;
  bool full = false;
  StallPlan plan;
  std::unique_ptr<StallWatch> watch;
};

TEST(a_stall_is_told_of_while_it_lasts_and_when_it_is_over) {
  Watching w;
  w.pass(50 * kMilli);
  w.gil.held = w.gil.asked = true;
  w.pass(200 * kMilli);
  CHECK(w.told.empty());
  w.pass(2 * kLook);
  REQUIRE(w.told.size() == 1);
  CHECK(w.says(0, "stall 1 of process "));
  CHECK(w.says(0, "thread 'worker' (native id 4711) has held the GIL for 0.200 s"));
  w.pass(90 * kMilli);
  CHECK_EQ(w.told.size(), 1U);
  w.gil.held = false;
  w.pass(kLook);
  REQUIRE(w.told.size() == 2);
  CHECK(w.says(1, "is over: thread 'worker' (native id 4711) held the GIL for 0.300 s"));
  CHECK_EQ(w.watch->finished(0).size(), 1U);
}

TEST(who_gives_way_or_is_not_asked_does_not_stall) {
  Watching w;
  w.gil.held = true;  // nobody asks
  w.pass(2'000 * kMilli);
  CHECK(w.told.empty());
  w.gil.asked = true;
  for (int turn = 0; turn < 50; ++turn) {  // asked, it gives way, to another thread
    ++w.gil.now.turn;
    w.pass(100 * kMilli);
  }
  CHECK(w.told.empty());
  CHECK(w.watch->finished(0).empty());
}

TEST(who_is_asked_just_now_is_given_time_to_give_way) {
  Watching w;
  w.gil.held = true;
  w.pass(1'000 * kMilli);
  w.gil.asked = true;
  w.pass(40 * kMilli);
  CHECK(w.told.empty());
  w.pass(20 * kMilli);
  CHECK_EQ(w.told.size(), 1U);
}

TEST(a_knock_asks_too) {
  Watching w;
  const std::int64_t run = w.ledger.begin_run();
  w.gil.held = true;
  w.ledger.begin_knock(run);
  w.pass(210 * kMilli);
  CHECK_EQ(w.told.size(), 1U);
}

TEST(a_long_stall_is_told_of_again_after_1_2_4_and_8_seconds) {
  Watching w;
  w.gil.held = w.gil.asked = true;
  w.pass(9'000 * kMilli);
  REQUIRE(w.told.size() == 5);
  const char* const lasts[] = {"0.200 s", "1.000 s", "2.000 s", "4.000 s", "8.000 s"};
  for (std::size_t i = 0; i < 5; ++i) CHECK(w.says(i, lasts[i]));
  CHECK(w.says(4, "goes on"));
}

TEST(who_takes_it_at_once_after_a_stall_has_a_hold_of_its_own) {
  Watching w;
  w.gil.held = w.gil.asked = true;
  w.pass(300 * kMilli);
  ++w.gil.now.turn;
  w.pass(150 * kMilli);
  REQUIRE(w.told.size() == 2);
  CHECK(w.says(1, "is over"));
  w.pass(60 * kMilli);
  REQUIRE(w.told.size() == 3);
  CHECK(w.says(2, "stall 2 of process "));
}

TEST(of_a_stopped_process_nobody_is_to_blame) {
  Watching w;
  w.gil.held = w.gil.asked = true;
  w.pass(20 * kMilli);
  w.clock.advance(60'000 * kMilli);
  w.pass(60 * kMilli);
  CHECK(w.told.empty());
  w.pass(40 * kMilli);
  CHECK_EQ(w.told.size(), 1U);
}

TEST(stalls_beyond_ten_a_minute_are_counted_and_said_with_the_next) {
  Watching w;
  for (int i = 0; i < 15; ++i) w.stall(250 * kMilli);
  CHECK_EQ(w.told.size(), 20U);  // ten begins and ends
  w.pass(60'000 * kMilli);
  w.stall(250 * kMilli);
  REQUIRE(w.told.size() == 22);
  CHECK(w.says(20, "stall 16 of process "));
  CHECK(w.says(20, "Not told of before this: 5 stalls."));
  CHECK(!w.says(21, "Not told of"));
  CHECK_EQ(w.watch->finished(0).size(), 16U);
}

TEST(what_could_not_be_written_is_said_when_it_can_again) {
  Watching w;
  w.full = true;
  w.stall(250 * kMilli);
  w.full = false;
  w.stall(250 * kMilli);
  REQUIRE(w.told.size() == 2);
  CHECK(w.says(0, "Not told of before this: 1 stall."));
}

TEST(who_waits_is_said_and_since_when) {
  Watching w;
  w.neighbours.waiting = 6;
  w.stall(250 * kMilli);
  CHECK(w.says(0, "Waiting for it: 'other' (100) for 0.150 s or longer, 'other' (101)"));
  CHECK(w.says(0, ", and 2 more."));
}

TEST(the_collector_and_the_cpu_are_said) {
  Watching w;
  w.neighbours.generation = 2;
  w.stall(250 * kMilli);
  CHECK(w.says(0, "The garbage collector is at work, generation 2."));
  CHECK(w.says(0, "It was on a CPU 100 % of the time."));
}

TEST(the_stack_is_the_holder_s_and_a_name_that_cannot_be_read_is_a_question_mark) {
  Watching w;
  w.python.memory.map(FakePython::kDataStack, 4096);
  w.python.frame(FakePython::kDataStack, w.python.entry(), 0x66'0000, 4);
  w.python.newest(FakePython::kDataStack);
  w.stall(250 * kMilli);
  CHECK(w.says(0, "File \"?\", line 0, in ?"));
  w.python.newest(0x99'0000);  // which is not there
  w.stall(250 * kMilli);
  CHECK(w.says(2, "Its stack could not be read."));
}

TEST(a_stall_keeps_its_stack_where_the_thread_lets_go_as_it_is_told_of_again) {
  Watching w(StallFormat::kJson);
  w.python.memory.map(FakePython::kDataStack, 4096);
  w.python.frame(FakePython::kDataStack, w.python.entry(), 0x66'0000, 4);
  w.python.newest(FakePython::kDataStack);
  w.gil.held = w.gil.asked = true;
  w.pass(990 * kMilli);
  w.python.newest(0x99'0000);  // which is not there
  w.pass(20 * kMilli);
  w.gil.held = false;
  w.pass(kLook);
  REQUIRE(w.told.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(w.says(i, "\"stack_known\":true,\"depth\":1"));
}

TEST(a_watch_that_rests_in_a_stall_tells_its_end) {
  const NothingLeft nothing_left;
  Watching w;
  w.gil.held = w.gil.asked = true;
  w.pass(300 * kMilli);
  w.watch->rest();
  REQUIRE(w.told.size() == 2);
  w.pass(100 * kMilli);  // begun anew, not so long ago
  CHECK_EQ(w.told.size(), 2U);
}

TEST(the_newest_64_that_are_over_are_kept) {
  Watching w(StallFormat::kJson);
  for (int i = 0; i < 70; ++i) w.stall(250 * kMilli);
  const std::vector<std::string> all = w.watch->finished(0);
  REQUIRE(all.size() == StallWatch::kMostKept);
  CHECK(all.front().find("\"number\":7,") != std::string::npos);
  CHECK_EQ(w.watch->finished(68).size(), 2U);
  CHECK(w.watch->wait_finished(69));
  w.watch->interrupt(true);
  CHECK(!w.watch->wait_finished(70));
}

}  // namespace
}  // namespace gilknocker
