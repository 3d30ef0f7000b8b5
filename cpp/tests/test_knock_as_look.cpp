#include <optional>

#include "check.hpp"
#include "gilknocker/knock_as_look.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/tick_schedule.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

constexpr KnockAsLook kAsLook{true, 300, 1'000};

TEST(knock_under_way_is_as_sure_as_it_is_long) {
  CHECK_EQ(kAsLook.under_way(300).ticks, 0);
  CHECK_EQ(kAsLook.under_way(301).ticks, 1);
  CHECK_EQ(kAsLook.under_way(1'999).ticks, 1);
  CHECK_EQ(kAsLook.under_way(5'000).ticks, 5);
  CHECK_EQ(kAsLook.under_way(5'000).held, 5);
  CHECK_EQ((KnockAsLook{false, 300, 1'000}.under_way(5'000).ticks), 0);
}

TEST(knock_answers_for_what_passed_if_it_had_to_wait) {
  const TickTally told = kAsLook.answered(true, 10, 4);
  CHECK_EQ(told.ticks, 5);
  CHECK_EQ(told.held, 5);
  CHECK_EQ(told.missed, 0);
  const TickTally told_not = kAsLook.answered(false, 10'000, 4);
  CHECK_EQ(told_not.ticks, 1);
  CHECK_EQ(told_not.held, 0);
  CHECK_EQ(told_not.missed, 4);
  CHECK_EQ(kAsLook.answered(std::nullopt, 300, 0).held, 0);
  CHECK_EQ(kAsLook.answered(std::nullopt, 301, 0).held, 1);
}

// However the strata lie: what is sure of a wait never exceeds what passes in it.
TEST(knock_under_way_is_never_surer_than_the_schedule) {
  for_seeds(2'000, [](Random& random) {
    const Nanos interval = log_uniform_in(random, 2, 1'000'000);
    const KnockAsLook as_look{true, 0, interval};
    TickSchedule schedule({interval, 0, 0}, 0, random());
    for (int i = 0; i < 20; ++i) {
      const Nanos asked = schedule.due();
      schedule.advance_past(asked);
      const Nanos wait = log_uniform_in(random, 1, 20 * interval);
      const std::int64_t passed =
          schedule.due() <= asked + wait ? schedule.advance_past(asked + wait) + 1 : 0;
      CHECK(as_look.under_way(wait).ticks <= as_look.answered(true, wait, passed).ticks);
    }
  });
}

// A ledger under knocks that answer for looks, one of which has been waiting since 0.
struct Waiting {
  Waiting() { ledger.begin_knock(run); }

  FakeClock clock{0};
  Ledger ledger{clock, 0, kAsLook};
  const std::int64_t run = ledger.begin_run();
};

TEST(knock_let_go_counts_for_what_was_sure_and_once) {
  const NothingLeft nothing_left;
  Waiting at;
  at.clock.set(7'500);
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  at.ledger.end_run();
  at.clock.set(20'000);
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  at.ledger.abandon_knock();
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  at.ledger.end_knock(at.run, {.wait = 20'000, .ticks = {.ticks = 20, .held = 20}});
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  at.ledger.begin_run();
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
}

TEST(knock_adds_no_less_than_was_told_of_it) {
  const NothingLeft nothing_left;
  Waiting at;
  at.clock.set(7'500);  // it had got the GIL at once, and then lost its CPU
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  at.ledger.end_knock(at.run, {.ticks = {.ticks = 1, .missed = 7}});
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  CHECK_EQ(at.ledger.read(false).ticks.ticks, 7);
  at.ledger.begin_knock(at.run);
  at.ledger.end_knock(at.run, {.ticks = {.ticks = 1, .held = 0}});
  CHECK(at.ledger.read(false).ticks.ticks >= 7);
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
}

TEST(knock_that_never_ended_takes_nothing_back) {
  const NothingLeft nothing_left;
  Waiting at;
  at.clock.set(7'500);
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
  at.ledger.end_run();  // its thread ended with the interpreter, and was joined
  at.ledger.begin_run();
  CHECK_EQ(at.ledger.read(false).ticks.held, 7);
}

TEST(knock_answers_after_a_reset_for_what_passed_after_it) {
  const NothingLeft nothing_left;
  Waiting at;
  at.clock.set(100'000);
  at.ledger.reset();
  CHECK_EQ(at.ledger.read(false).ticks.ticks, 0);
  at.clock.set(104'500);
  CHECK_EQ(at.ledger.read(false).ticks.held, 4);
  at.ledger.end_knock(at.run, {.asked = 0, .wait = 104'500, .ticks = {.ticks = 105, .held = 105}});
  CHECK(at.ledger.read(false).ticks.held >= 4 && at.ledger.read(false).ticks.held <= 6);
}

}  // namespace
}  // namespace gilknocker
