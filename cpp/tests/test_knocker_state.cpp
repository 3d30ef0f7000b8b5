#include <thread>

#include "blocking_gil.hpp"
#include "check.hpp"
#include "gilknocker/knocker.hpp"
#include "nothing_left.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

// The ways out of the state; BlockingGil checks that each is taken as gil.hpp says.
struct WithState {
  WithState()
      : knocker(gil, clock, ledger, ledger.begin_run(), TickSchedule({1'000, 0, 0}, 0, 1), {}) {}

  void begin() {
    knocker.give(gil.take_and_open_state());
    knocker.begin();
  }
  void knock() {
    clock.set(knocker.due());
    knocker.wake(clock.now());
  }
  bool claim() {  // as another thread of the program, which holds the GIL
    bool claimed = false;
    std::thread([&] {
      const Held held(gil);
      claimed = knocker.claim();
    }).join();
    return claimed;
  }

  BlockingGil gil;
  FakeClock clock{0};
  Ledger ledger{clock, 0};
  Knocker knocker;
};

TEST(knocker_leaves_its_state_at_the_end) {
  const NothingLeft nothing_left;
  WithState at;
  CHECK_EQ(at.knocker.due(), kNever);
  at.begin();
  at.knock();
  at.knock();
  at.knocker.end();
  CHECK_EQ(at.ledger.read(false).knocks.knocks, 2);
}

TEST(knocker_told_to_stop_leaves_with_its_next_knock) {
  const NothingLeft nothing_left;
  WithState at;
  at.begin();
  at.knocker.announce_stop();
  at.knock();
  CHECK_EQ(at.gil.states_open(), 0);
  CHECK_EQ(at.ledger.read(false).knocks.knocks, 1);
  CHECK_EQ(at.knocker.due(), kNever);
  CHECK(at.claim());  // it ends without the GIL
  at.knocker.end();
}

TEST(knocker_whose_state_was_claimed_asks_for_nothing_more) {
  const NothingLeft nothing_left;
  WithState at;
  at.begin();
  at.knock();
  const Nanos due = at.knocker.due();
  CHECK(at.claim());
  CHECK(!at.claim());
  at.clock.set(due);
  at.knocker.wake(due);  // it may have been on its way
  CHECK_EQ(at.ledger.read(false).knocks.knocks, 1);
  CHECK_EQ(at.knocker.due(), kNever);  // a worker that it told `due` again would spin
  CHECK_EQ(at.gil.states_open(), 0);
  at.knocker.end();
}

TEST(knocker_whose_state_is_not_for_others_to_close_leaves_it_itself) {
  const NothingLeft nothing_left;
  WithState at;
  at.gil.keep_others_off_states();
  at.begin();
  at.knock();
  CHECK(!at.claim());
  CHECK(!at.knocker.is_claimed());
  at.knock();  // a claim that was refused leaves no trace
  CHECK_EQ(at.ledger.read(false).knocks.knocks, 2);
  at.knocker.end();
  CHECK_EQ(at.gil.states_open(), 0);
}

TEST(knocker_that_was_claimed_before_it_began_occupies_no_state) {
  const NothingLeft nothing_left;
  WithState at;
  at.knocker.give(at.gil.take_and_open_state());
  CHECK(at.claim());
  CHECK(!at.claim());
  CHECK(at.knocker.is_claimed());
  CHECK_EQ(at.gil.states_open(), 0);
  at.knocker.begin();
  CHECK_EQ(at.gil.states_occupied(), 0);
  CHECK_EQ(at.knocker.due(), kNever);
  at.knocker.wake(0);
  at.knocker.end();
}

TEST(knocker_without_a_state_is_never_due) {
  for (const bool has_state : {false, true}) {
    const NothingLeft nothing_left;
    WithState at;
    if (has_state) {
      at.gil.refuse_threads();
    } else {
      at.gil.refuse_states();
    }
    at.begin();
    CHECK_EQ(at.knocker.due(), kNever);
    at.knocker.wake(0);
    CHECK_EQ(at.ledger.read(false).knocks.knocks, 0);
    CHECK(at.claim());  // it ends without the GIL
    at.knocker.end();
  }
}

TEST(knocker_that_ends_by_itself_cannot_be_claimed_meanwhile) {
  const NothingLeft nothing_left;
  WithState at;
  std::thread thread;
  {
    const Held held(at.gil);
    at.knocker.give(at.gil.open_state());
    thread = std::thread([&] {
      at.knocker.begin();
      at.knocker.end();
    });
    CHECK(eventually([&] { return at.gil.waiting() == 1; }));
    CHECK(!at.knocker.claim());
  }
  thread.join();
  CHECK_EQ(at.gil.states_open(), 0);
}

}  // namespace
}  // namespace gilknocker
