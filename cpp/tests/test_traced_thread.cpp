// What a trace knows of one thread, event by event.
#include "check.hpp"
#include "gilknocker/traced_thread.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kEnd = 1'000;

TEST(traced_thread_holds_waits_and_does_without) {
  TracedThread thread{};
  thread.open(7, false, false, 100);
  CHECK_EQ(thread.native_id(), 7);
  CHECK_EQ(thread.since(), 100);
  thread.asked(150, false);
  thread.asked(170, false);  // waits on: a wait has one beginning
  const Ended wait = thread.acquired(200, false);
  CHECK_EQ(wait.start, 150);
  CHECK_EQ(wait.end, 200);
  CHECK(thread.holding());
  const Ended hold = thread.released(260, true);
  CHECK_EQ(hold.start, 200);
  CHECK_EQ(hold.end, 260);
  CHECK(!thread.acquired(300, false));  // nobody had it
  const ThreadTotals totals = thread.totals(kEnd);
  CHECK_EQ(totals.held, 60 + 700);
  CHECK_EQ(totals.waited, 50);
  CHECK_EQ(totals.lived, 900);
  CHECK_EQ(totals.acquisitions, 2);
  CHECK_EQ(totals.holds, 1);
  CHECK_EQ(totals.waits, 1);
  CHECK_EQ(totals.forced_releases, 1);
  CHECK_EQ(totals.longest_hold, 700);
  CHECK_EQ(totals.longest_wait, 50);
}

TEST(traced_thread_that_wanted_it_all_along_waits_since_it_let_go) {
  TracedThread asks{};
  asks.open(1, false, false, 1);
  asks.acquired(10, false);
  asks.released(100, true);
  asks.asked(130, true);
  CHECK_EQ(asks.waiting_for(150), 50);
  CHECK_EQ(asks.acquired(200, false).start, 100);

  TracedThread gets_it{};
  gets_it.open(1, false, false, 1);
  gets_it.acquired(10, false);
  gets_it.released(100, true);
  CHECK_EQ(gets_it.acquired(130, true).start, 100);
}

TEST(traced_thread_is_passed_over_for_as_long_as_it_waits) {
  TracedThread thread{};
  thread.open(1, false, false, 1);
  thread.acquired(10, false, 2);
  thread.released(100, true, 3);
  thread.asked(130, true, 5);  // it has waited since it let go
  CHECK_EQ(thread.totals(150, 9).passed_over, 6);
  CHECK_EQ(thread.totals(150, 9).passed_over_waits, 50);
  thread.acquired(200, false, 10);
  CHECK_EQ(thread.totals(kEnd).passed_over, 7);
  CHECK_EQ(thread.totals(kEnd).passed_over_waits, 100);
  thread.released(300, false, 10);
  thread.asked(310, false, 11);
  thread.acquired(320, false, 11);  // nobody meanwhile
  CHECK_EQ(thread.totals(kEnd).passed_over, 7);
  CHECK_EQ(thread.totals(kEnd).passed_over_waits, 100);
}

TEST(traced_thread_met_while_it_holds_has_no_hold_to_end) {
  TracedThread thread{};
  thread.open(1, false, false, 50);
  CHECK(!thread.released(80, false));
  CHECK_EQ(thread.totals(100).held, 0);
  thread.holds_from(100);
  CHECK_EQ(thread.totals(130).held, 30);
}

TEST(traced_thread_paused_keeps_its_numbers) {
  TracedThread thread{};
  thread.open(1, false, false, 1);
  thread.acquired(10, false);
  thread.pause(50);
  CHECK(!thread.holding());
  CHECK_EQ(thread.totals(kEnd).held, 40);
  CHECK_EQ(thread.totals(kEnd).lived, 49);
  thread.resume(200);
  CHECK(!thread.released(220, false));
  CHECK_EQ(thread.totals(300).held, 40);
  CHECK_EQ(thread.totals(300).lived, 149);
  thread.asked(300, false);
  thread.pause(350);
  CHECK_EQ(thread.totals(kEnd).waited, 50);
  CHECK_EQ(thread.waiting_for(kEnd), 0);
}

TEST(traced_thread_reset_counts_what_goes_on_from_then) {
  TracedThread holds{};
  holds.open(1, false, false, 1);
  holds.acquired(10, false);
  holds.reset(100);
  CHECK_EQ(holds.totals(130).held, 30);
  CHECK_EQ(holds.totals(130).lived, 30);
  CHECK_EQ(holds.totals(130).acquisitions, 0);
  TracedThread waits{};
  waits.open(1, false, false, 1);
  waits.asked(10, false);
  waits.reset(100);
  CHECK_EQ(waits.acquired(130, false).start, 100);
}

TEST(traced_thread_that_is_gone_lived_until_it_let_go) {
  TracedThread thread{};
  thread.open(1, false, false, 1);
  thread.acquired(10, false);
  thread.released(60, false);
  thread.end();
  thread.end();
  CHECK(thread.ended());
  CHECK_EQ(thread.totals(kEnd).lived, 59);
  thread.pause(kEnd);
  CHECK_EQ(thread.totals(kEnd).lived, 59);
}

TEST(traced_thread_that_was_seen_alive_lived_at_least_until_then) {
  TracedThread thread{};
  thread.open(1, false, false, 1);
  thread.acquired(10, false);
  thread.released(60, false);
  thread.seen(500);
  CHECK_EQ(thread.totals(500).lived, 499);
  thread.end();
  CHECK_EQ(thread.totals(kEnd).lived, 499);
}

TEST(traced_thread_that_asked_after_the_pause_does_not_wait_when_it_goes_on) {
  TracedThread thread{};
  thread.open(1, false, false, 1);
  thread.pause(50);
  thread.asked(51, false);  // its hook still had the book
  thread.resume(900);
  CHECK_EQ(thread.waiting_for(950), 0);
  CHECK(!thread.acquired(950, false));
}

TEST(traced_thread_waits_no_longer_than_since_the_reset) {
  TracedThread thread{};
  thread.open(1, false, false, 1);
  thread.acquired(10, false);
  thread.released(60, true);
  thread.reset(100);
  thread.asked(60, false);  // it read the clock before the reset, and came after it
  CHECK_EQ(thread.waiting_for(130), 30);
  CHECK_EQ(thread.acquired(150, false).start, 100);
}

TEST(traced_thread_is_met_once) {
  TracedThread thread{};
  thread.open(1, false, true, 1);
  CHECK(thread.meet(false));
  CHECK(!thread.meet(false));
  thread.open(1, false, false, 1);
  CHECK(!thread.meet(false));
}

}  // namespace
}  // namespace gilknocker
