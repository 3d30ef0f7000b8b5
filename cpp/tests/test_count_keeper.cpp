// A ledger that counts, and who is asked at each knock whether to go on: on a made-up account.
#include <algorithm>
#include <memory>
#include <string>

#include "check.hpp"
#include "gilknocker/count_keeper.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/watcher.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

// An account on the fake clock: one cycle is one ns.
class FakeHeld final : public HeldSource {
 public:
  explicit FakeHeld(const FakeClock& clock) : clock_(clock), account_(64) {}

  const char* begin() override {
    if (refuses) return "it was refused";
    if (users_++ == 0) account_.begin(nullptr, cycles());
    trusted_ = true;
    return nullptr;
  }
  void end() noexcept override {
    if (--users_ == 0) account_.end(cycles());
  }
  HeldReading read() const noexcept override {
    HeldReading reading = account_.read_by([this] { return Instant{cycles(), clock_.now()}; });
    reading.counts = reading.counts && trusted_;
    return reading;
  }
  std::uint64_t own_takes() const noexcept override { return account_.own_takes(); }
  void distrust() noexcept override { trusted_ = false; }
  void tidy() noexcept override {}
  Nanos cost() const noexcept override { return 10; }

  void take() {
    AccountHolder* const known = account_.find(1, nullptr);
    account_.take(known != nullptr ? *known : account_.add({1, 0, 0}, nullptr), cycles());
  }
  void drop() { account_.drop(cycles()); }
  void own_take() { account_.take_as_ours(); }
  int users() const { return users_; }

  bool refuses = false;

 private:
  Cycles cycles() const { return static_cast<Cycles>(clock_.now()); }

  const FakeClock& clock_;
  HeldAccount account_;
  int users_ = 0;
  bool trusted_ = true;
};

// Free, whenever somebody looks.
class FreeGil final : public Gil {
 public:
  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override { return Look::kFree; }
  std::unique_ptr<OwnThreadState> open_state() override { return nullptr; }
};

struct Meter {
  FakeClock clock{1'000};
  FakeHeld held{clock};
  std::shared_ptr<Counting> counting = std::make_shared<Counting>(&held);
  Ledger ledger{clock, 0, {}, &held};
  int pokes = 0;
  CountKeeper keeper{held, counting, ledger, 0.01, [this] { ++pokes; }};

  void pass(Nanos time) { clock.advance(time); }
  void hold(Nanos time) {
    held.take();
    pass(time);
    held.drop();
  }
  void knock(bool seen = true) {
    keeper.asks();
    if (seen) held.own_take();
    keeper.has();
    keeper.gave_back(clock.now());
  }
  void hand_over(int times, Nanos each) {
    for (int i = 0; i < times; ++i) {
      hold(each / 2);
      pass(each / 2);
    }
  }
};

TEST(a_ledger_counts_what_is_held_between_its_start_and_its_stop) {
  Meter at;
  at.hold(5'000);
  CHECK(at.counting->turn_on() == nullptr);
  at.hold(7'000);
  at.ledger.begin_run();
  CHECK(at.ledger.counts());
  at.hold(300);
  at.pass(700);
  at.held.take();
  at.pass(1'000);
  Reading reading = at.ledger.read(false);
  CHECK_EQ(reading.held, 1'300);
  CHECK_EQ(reading.counted, 2'000);
  CHECK_EQ(reading.observed, 2'000);
  CHECK_NEAR(at.ledger.held_fraction(), 0.65, 1e-9);
  at.ledger.reset();
  CHECK_EQ(at.ledger.read(false).held, 0);
  at.pass(500);
  at.ledger.end_run();
  at.pass(10'000);
  reading = at.ledger.read(false);
  CHECK_EQ(reading.held, 500);
  CHECK_EQ(reading.counted, 500);
  CHECK_EQ(reading.observed, 500);
  CHECK(!at.ledger.counts());
  at.ledger.begin_run();  // like a stopwatch
  at.pass(250);
  CHECK_EQ(at.ledger.read(false).held, 750);
  at.held.drop();
  at.pass(250);
  CHECK_EQ(at.ledger.read(false).held, 750);
  CHECK_EQ(at.ledger.read(false).counted, 1'000);
  at.ledger.end_run();
  at.counting->turn_off();
  CHECK_EQ(at.held.users(), 0);
}

TEST(looks_fill_in_where_nothing_was_counted) {
  Meter at;
  at.ledger.begin_run();
  for (int i = 0; i < 10; ++i) {
    at.pass(1'000);
    at.ledger.record_tick({.at = at.clock.now(), .look = i % 2 == 0 ? Look::kHeld : Look::kFree});
  }
  CHECK_EQ(at.ledger.read(false).held, 5'000);
  CHECK(at.counting->turn_on() == nullptr);
  static_cast<void>(at.ledger.count());
  at.hold(10'000);
  const Reading reading = at.ledger.read(false);
  CHECK_EQ(reading.counted, 10'000);
  CHECK_EQ(reading.observed, 20'000);
  CHECK_EQ(reading.held, 15'000);
  CHECK_NEAR(at.ledger.held_fraction(), 0.75, 1e-9);
  at.ledger.end_run();
  at.counting->turn_off();
}

TEST(an_estimate_that_falls_waits_until_it_has_caught_up) {
  Meter at;
  at.ledger.begin_run();
  at.pass(1'000);
  at.ledger.record_tick({.at = at.clock.now(), .look = Look::kHeld});
  CHECK_EQ(at.ledger.read(false).held, 1'000);
  at.pass(500);
  at.ledger.record_tick({.at = at.clock.now(), .look = Look::kFree});
  CHECK_EQ(at.ledger.read(false).held, 1'000);  // half of 1,500
  at.pass(1'500);
  CHECK_EQ(at.ledger.read(false).held, 1'500);
  at.ledger.end_run();
}

TEST(a_watcher_sleeps_while_holds_are_counted_and_has_missed_nothing) {
  Meter at;
  const FreeGil gil;
  Watcher watcher(gil, at.clock, at.ledger, TickSchedule({1'000, 0, 0}, at.clock.now(), 1), 100);
  CHECK(at.counting->turn_on() == nullptr);
  at.ledger.begin_run();
  CHECK_EQ(watcher.due(), kNever);
  at.pass(1'000'000);
  at.counting->turn_off();
  static_cast<void>(at.ledger.count());
  for (int i = 0; i < 10; ++i) {
    const Nanos due = watcher.due();
    REQUIRE(due != kNever);
    at.clock.set(std::max(at.clock.now(), due));
    watcher.wake(at.clock.now());
  }
  const Reading reading = at.ledger.read(false);
  CHECK_EQ(reading.ticks.ticks, 9);
  CHECK_EQ(reading.ticks.missed, 0);
  at.ledger.end_run();
}

TEST(a_program_that_hands_the_gil_over_too_often_is_looked_at) {
  Meter at;
  CHECK(at.counting->turn_on() == nullptr);
  at.ledger.begin_run();
  at.hand_over(10'000, 1'100);  // 10 ns each of 1.1 us: 0.9 %
  at.knock();
  at.knock();
  CHECK(at.counting->is_on());
  at.hand_over(10'000, 900);  // 1.1 %
  at.knock();
  at.knock();
  CHECK(!at.counting->is_on());
  CHECK_EQ(at.pokes, 1);
  REQUIRE(at.counting->problem() != nullptr);
  const Reading before = at.ledger.read(false);
  CHECK_EQ(before.counted, before.observed);
  // It tries again after 1 s, then 2 s.
  for (const Nanos pause : {1'000'000'000, 2'000'000'000}) {
    at.pass(pause - 100'000'000);
    at.knock();
    at.knock();
    CHECK(!at.counting->is_on());
    at.pass(100'000'000);
    at.knock();
    at.knock();
    CHECK(at.counting->is_on());
    CHECK(at.counting->problem() == nullptr);
    CHECK(at.ledger.counts());
    at.hand_over(10'000, 900);
    at.knock();
    at.knock();
    CHECK(!at.counting->is_on());
  }
  CHECK_EQ(at.pokes, 3);
  at.ledger.end_run();
}

TEST(a_knock_that_the_hooks_did_not_see_ends_the_counting_for_good) {
  Meter at;
  CHECK(at.counting->turn_on() == nullptr);
  at.ledger.begin_run();
  at.hold(10'000'000);
  at.knock();
  CHECK(at.counting->is_on());
  at.knock(false);
  CHECK(!at.counting->is_on());
  CHECK(!at.ledger.counts());
  CHECK_EQ(at.pokes, 1);
  REQUIRE(at.counting->problem() != nullptr);
  for (int i = 0; i < 100; ++i) {
    at.pass(1'000'000'000);
    at.knock();
  }
  CHECK(!at.counting->is_on());
  CHECK_EQ(at.ledger.read(false).held, 10'000'000);
  at.ledger.end_run();
}

TEST(what_cannot_be_counted_says_why) {
  Meter at;
  at.held.refuses = true;
  CHECK(at.counting->turn_on() != nullptr);
  CHECK(!at.counting->is_on());
  CHECK_EQ(std::string(at.counting->problem()), "it was refused");
  at.held.refuses = false;
  CHECK(at.counting->turn_on() == nullptr);
  CHECK(at.counting->problem() == nullptr);
  at.counting->turn_off();
}

}  // namespace
}  // namespace gilknocker
