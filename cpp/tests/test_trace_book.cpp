// The book of a trace: against a naive one that keeps every interval, and from many threads.
#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "check.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/trace_book.hpp"
#include "nothing_left.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

bool all_alive(std::int64_t) { return true; }

// Every interval for ever: the sums by adding them up.
struct Naive {
  struct Interval {
    std::size_t thread;
    Nanos start;
    Nanos end;
  };
  std::vector<Interval> holds;
  std::vector<Interval> waits;
  std::int64_t wanted_releases = 0;
  std::int64_t retakes = 0;
  std::int64_t passed_over = 0;  // each time each that waited
  Nanos passed_over_waits = 0;

  static Nanos sum(const std::vector<Interval>& intervals, Nanos from) {
    Nanos total = 0;
    for (const Interval& one : intervals) total += one.end - std::max(one.start, from);
    return total;
  }
};

// One GIL, some threads, at random: who has none asks or gets it, who has it lets go.
class Program {
 public:
  Program(TraceBook& book, std::size_t threads, Random& random)
      : book_(book), random_(random), asked_(threads, 0), passed_(threads, 0) {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.push_back(&book.enter(static_cast<std::int64_t>(i), false, now_));
    }
  }

  Nanos now() const { return now_; }
  const Naive& naive() const { return naive_; }
  std::size_t holder_or(std::size_t other) const { return holder_ == kNobody ? other : holder_; }
  const TracedThread& thread(std::size_t i) const { return *threads_[i]; }

  void step() {
    now_ += 1 + static_cast<Nanos>(random_() % 1'000);
    const std::size_t i = random_() % threads_.size();
    if (holder_ == i) {
      book_.released(*threads_[i], now_, random_() % 2 == 0);
      naive_.holds.push_back({i, since_, now_});
      naive_.wanted_releases += waiting() != 0;
      last_ = i;
      holder_ = kNobody;
    } else if (holder_ != kNobody) {
      book_.asked(*threads_[i], now_, false);
      if (asked_[i] == 0) asked_[i] = now_;
    } else {
      book_.acquired(*threads_[i], now_, false);
      if (asked_[i] != 0) naive_.waits.push_back({i, asked_[i], now_});
      if (passed_[i] != 0) naive_.passed_over_waits += now_ - asked_[i];
      asked_[i] = passed_[i] = 0;
      retaken_ = last_ == i && waiting() != 0;
      if (retaken_) pass_over();
      holder_ = i;
      since_ = now_;
    }
    CHECK(book_.holder() == (holder_ == kNobody ? nullptr : threads_[holder_]));
  }

  // Of the hold that goes on, or was the last.
  bool retaken() const { return retaken_; }

  std::int64_t waiting() const {
    return std::count_if(asked_.begin(), asked_.end(), [](Nanos since) { return since != 0; });
  }

  // What goes on, up to now.
  Naive so_far() const {
    Naive all = naive_;
    for (std::size_t i = 0; i < asked_.size(); ++i) {
      if (passed_[i] != 0) all.passed_over_waits += now_ - asked_[i];
    }
    if (holder_ != kNobody) all.holds.push_back({holder_, since_, now_});
    for (std::size_t i = 0; i < asked_.size(); ++i) {
      if (asked_[i] != 0) all.waits.push_back({i, asked_[i], now_});
    }
    return all;
  }

 private:
  static constexpr std::size_t kNobody = static_cast<std::size_t>(-1);
  TraceBook& book_;
  Random& random_;
  void pass_over() {
    ++naive_.retakes;
    naive_.passed_over += waiting();
    for (std::size_t i = 0; i < asked_.size(); ++i) passed_[i] += asked_[i] != 0;
  }

  Nanos now_ = 1;
  std::vector<TracedThread*> threads_;
  std::vector<Nanos> asked_;
  std::vector<std::int64_t> passed_;  // retakes in the wait that goes on
  std::size_t holder_ = kNobody;
  std::size_t last_ = kNobody;  // who let go last
  bool retaken_ = false;
  Nanos since_ = 0;
  Naive naive_;
};

TEST(trace_book_agrees_with_keeping_everything) {
  for_seeds(300, [](Random& random) {
    const auto waiters = std::make_shared<WaiterCount>();
    TraceBook book(random() % 50, 1, 64, 0, waiters);
    book.begin(1);
    Program program(book, 1 + random() % 5, random);
    const std::size_t steps = random() % 400;
    for (std::size_t i = 0; i < steps; ++i) {
      program.step();
      CHECK_EQ(waiters->now(), program.waiting());
      CHECK_EQ(waiters->retaken(), program.retaken());
    }
    const Naive all = program.so_far();
    const TraceReading reading = book.read(program.now(), &all_alive);
    CHECK_EQ(reading.all.wanted_releases, all.wanted_releases);
    CHECK_EQ(reading.all.retakes, all.retakes);
    CHECK_EQ(reading.all.passed_over, all.passed_over);
    CHECK_EQ(reading.all.passed_over_waits, all.passed_over_waits);
    CHECK_EQ(reading.all.held, Naive::sum(all.holds, 0));
    CHECK_EQ(reading.all.waited, Naive::sum(all.waits, 0));
    CHECK_EQ(reading.wait_total, Naive::sum(program.naive().waits, 0));
    CHECK_EQ(reading.all.holds, static_cast<std::int64_t>(program.naive().holds.size()));
    CHECK_EQ(reading.all.waits, static_cast<std::int64_t>(program.naive().waits.size()));
    CHECK_EQ(reading.observed, program.now() - 1);
    CHECK_EQ(reading.all.lived,
             reading.observed * static_cast<std::int64_t>(reading.threads.size()));
    std::int64_t in_buckets = 0;
    for (const HistogramBucket& bucket : reading.holds) in_buckets += bucket.count;
    CHECK_EQ(in_buckets, reading.all.holds);
    for (const ThreadReading& one : reading.threads) {
      CHECK(one.totals.held + one.totals.waited <= one.totals.lived);
    }
  });
}

TEST(trace_book_knows_who_waits) {
  const auto waiters = std::make_shared<WaiterCount>();
  TraceBook book(0, 1, 8, 0, waiters);
  book.begin(1);
  TracedThread& holder = book.enter(1, false, 1);
  TracedThread& ours = book.enter(2, true, 1);
  const std::atomic<std::uint32_t> life{1};
  TracedThread& ends = book.enter(3, false, 1, {&life, 0});  // has ended by now
  book.acquired(holder, 2, false);
  book.asked(ours, 3, false);
  CHECK_EQ(waiters->now(), 0);
  book.asked(ends, 4, false);
  book.asked(ends, 5, false);  // still the same wait
  CHECK_EQ(waiters->now(), 1);
  book.reset(6);
  CHECK_EQ(waiters->now(), 1);
  book.read(7, &all_alive);  // finds that it is gone
  CHECK_EQ(waiters->now(), 0);
  TracedThread& waits = book.enter(4, false, 8);
  book.asked(waits, 8, false);
  book.end(9, &all_alive);
  CHECK_EQ(waiters->now(), 0);
  book.asked(waits, 10, false);  // its hook still had the book
  book.begin(11);
  CHECK_EQ(waiters->now(), 0);
  book.acquired(waits, 12, false);
  CHECK_EQ(waiters->now(), 0);
}

TEST(trace_book_counts_no_retake_of_ours_or_of_the_crowd) {
  TraceBook book(0, 1, 3);
  book.begin(1);
  TracedThread& waits = book.enter(1, false, 1);
  TracedThread& ours = book.enter(2, true, 1);
  TracedThread& lone = book.enter(3, false, 1);
  TracedThread& crowd = book.enter(4, false, 1);
  Nanos now = 1;
  const auto take_twice = [&](TracedThread& thread) {
    book.acquired(thread, ++now, false);
    book.asked(waits, ++now, false);
    book.released(thread, ++now, false);
    book.acquired(thread, ++now, false);
    book.released(thread, ++now, false);
    return book.read(now, &all_alive).all.retakes;
  };
  CHECK_EQ(take_twice(crowd), 0);
  CHECK_EQ(take_twice(ours), 0);
  CHECK_EQ(take_twice(lone), 1);
  CHECK_EQ(book.read(now, &all_alive).all.wanted_releases, 2);
}

TEST(trace_book_knows_a_threads_share) {
  for_seeds(300, [](Random& random) {
    TraceBook book(0, 1, 64);
    book.begin(1);
    const std::size_t threads = 1 + random() % 5;
    Program program(book, threads, random);
    const std::size_t steps = random() % 400;
    for (std::size_t i = 0; i < steps; ++i) program.step();
    const std::size_t asking = program.holder_or(random() % threads);
    const ThreadShare share = book.share_of(program.thread(asking), program.now());
    Nanos held = 0, held_by_others = 0, waited = 0;
    const Naive all = program.so_far();
    for (const auto& hold : all.holds) {
      (hold.thread == asking ? held : held_by_others) += hold.end - hold.start;
    }
    for (const auto& wait : all.waits) waited += wait.thread == asking ? wait.end - wait.start : 0;
    CHECK(share.known);
    CHECK_EQ(share.held, held);
    CHECK_EQ(share.waited, waited);
    CHECK_EQ(share.held_by_others, held_by_others);
  });
}

TEST(trace_book_knows_no_share_of_the_crowd) {
  TraceBook book(0, 1, 1);
  book.begin(1);
  book.enter(1, false, 1);
  CHECK(!book.share_of(book.enter(2, false, 1), 5).known);
}

TEST(trace_book_counts_no_hold_of_ours_as_the_others) {
  TraceBook book(0, 1, 8);
  book.begin(1);
  TracedThread& ours = book.enter(1, true, 1);
  TracedThread& theirs = book.enter(2, false, 1);
  book.acquired(ours, 10, false);
  book.released(ours, 20, false);
  book.acquired(theirs, 20, false);
  book.released(theirs, 50, false);
  book.acquired(theirs, 60, false);
  CHECK_EQ(book.share_of(theirs, 65).held_by_others, 0);
  CHECK_EQ(book.share_of(theirs, 65).held, 35);
  book.end(70, &all_alive);  // what goes on counts up to a stop
  book.begin(100);
  CHECK_EQ(book.share_of(ours, 110).held_by_others, 40);
  book.reset(120);
  CHECK_EQ(book.share_of(ours, 130).held_by_others, 0);
}

TEST(trace_book_keeps_the_newest_events) {
  for_seeds(200, [](Random& random) {
    const std::size_t capacity = random() % 20;
    TraceBook book(capacity, 1, 8);
    book.begin(1);
    Program program(book, 3, random);
    const std::size_t steps = random() % 100;
    for (std::size_t i = 0; i < steps; ++i) program.step();
    std::vector<Nanos> ends;
    for (const auto& hold : program.naive().holds) ends.push_back(hold.end);
    for (const auto& wait : program.naive().waits) ends.push_back(wait.end);
    std::sort(ends.begin(), ends.end());
    const std::vector<TraceEvent> events = book.events();
    CHECK_EQ(events.size(), std::min(ends.size(), capacity));
    for (std::size_t i = 0; i < events.size(); ++i) {
      CHECK_EQ(events[i].end, ends[ends.size() - events.size() + i]);
    }
  });
}

TEST(trace_book_keeps_only_events_that_are_long_enough) {
  for_seeds(200, [](Random& random) {
    const Nanos least = static_cast<Nanos>(random() % 2'000);
    TraceBook book(1'000, 1, 8, least);
    book.begin(1);
    Program program(book, 3, random);
    const std::size_t steps = random() % 100;
    for (std::size_t i = 0; i < steps; ++i) program.step();
    std::size_t expected = 0;
    for (const auto& hold : program.naive().holds) expected += hold.end - hold.start >= least;
    for (const auto& wait : program.naive().waits) expected += wait.end - wait.start >= least;
    CHECK_EQ(book.events().size(), expected);
  });
}

TEST(trace_book_says_since_when_the_holder_holds_it) {
  TraceBook book(0, 1, 8);
  book.begin(1);
  TracedThread& thread = book.enter(7, false, 1);
  book.acquired(thread, 10, false);
  CHECK_EQ(book.read(50, &all_alive).threads.at(0).holding_since, 10);
  book.reset(60);  // what was before is no part of it
  CHECK_EQ(book.read(90, &all_alive).threads.at(0).holding_since, 60);
  book.released(thread, 95, false);
  CHECK_EQ(book.read(99, &all_alive).threads.at(0).holding_since, 0);
}

TEST(trace_book_begins_anew_after_a_reset) {
  TraceBook book(10, 1, 8);
  book.begin(1);
  TracedThread& thread = book.enter(1, false, 1);
  book.acquired(thread, 10, false);
  book.released(thread, 20, false);
  book.acquired(thread, 30, false);
  book.reset(100);
  const TraceReading reading = book.read(130, &all_alive);
  CHECK_EQ(reading.epoch, 1);
  CHECK_EQ(reading.start, 100);
  CHECK_EQ(reading.observed, 30);
  CHECK_EQ(reading.all.held, 30);
  CHECK_EQ(reading.all.holds, 0);
  CHECK_EQ(book.events().size(), 0U);
  book.released(thread, 150, false);
  CHECK_EQ(book.events().at(0).start, 100);
}

TEST(trace_book_goes_on_after_a_stop) {
  TraceBook book(10, 1, 8);
  book.begin(10);
  TracedThread& thread = book.enter(1, false, 10);
  book.acquired(thread, 20, false);
  book.end(50, &all_alive);
  CHECK(!book.running());
  CHECK_EQ(book.read(500, &all_alive).end, 50);
  book.begin(1'000);
  CHECK_EQ(book.read(1'010, &all_alive).observed, 50);
  CHECK_EQ(book.read(1'010, &all_alive).all.held, 30);
  CHECK_EQ(book.read(1'010, &all_alive).all.lived, 50);
  CHECK_EQ(book.read(1'010, &all_alive).start, 10);
}

TEST(trace_book_recognises_the_threads_that_it_expects) {
  TraceBook book(10, 1, 8);
  book.expect(5, 1);
  book.expect(6, 1);
  book.expect(5, 2);  // known
  book.begin(10);
  TracedThread& five = book.enter(5, false, 20);
  CHECK_EQ(five.since(), 1);
  CHECK(&book.enter(5, false, 30) != &five);  // another one of that number
  CHECK_EQ(book.read(40, &all_alive).threads.size(), 3U);
}

TEST(trace_book_counts_ours_apart) {
  TraceBook book(10, 1, 8);
  book.begin(1);
  TracedThread& ours = book.enter(1, true, 1);
  book.asked(ours, 5, false);
  book.acquired(ours, 10, false);
  book.released(ours, 30, false);
  const TraceReading reading = book.read(100, &all_alive);
  CHECK_EQ(reading.all.held, 0);
  CHECK_EQ(reading.all.lived, 0);
  CHECK_EQ(reading.wait_total, 0);
  CHECK_EQ(reading.holds.size(), 0U);
  CHECK_EQ(reading.threads.at(0).totals.held, 20);
  CHECK_EQ(book.events().size(), 2U);
}

TEST(trace_book_without_memory_throws) {
  const NothingLeft nothing_left;
  bool thrown = false;
  try {
    TraceBook book(static_cast<std::size_t>(-1) / 2, 1);
  } catch (const std::bad_alloc&) {
    thrown = true;
  }
  CHECK(thrown);
}

// The GIL as CPython has it: a flag, changed with a lock in hand; asking needs the lock only.
TEST(trace_book_is_read_while_others_ask) {
  TraceBook book(100, 1);
  book.begin(1);
  Mutex lock;
  CondVar changed;
  bool held = false;
  std::atomic<Nanos> clock{1};
  std::atomic<bool> enough{false};
  const auto take = [&](TracedThread*& me, std::int64_t id) {
    MutexLock guard(lock);
    if (me == nullptr) me = &book.enter(id, false, ++clock);
    while (held) {
      book.asked(*me, ++clock, id % 2 == 0);
      changed.wait_until(lock, kNever);
    }
    held = true;
    book.acquired(*me, ++clock, false);
  };
  const auto drop = [&](TracedThread* me) {
    MutexLock guard(lock);
    book.released(*me, ++clock, false);
    held = false;
    changed.notify_all();
  };
  std::vector<std::thread> threads;
  for (std::int64_t id = 1; id <= 3; ++id) {
    threads.emplace_back([&, id] {
      TracedThread* me = nullptr;
      while (!enough) {
        take(me, id);
        drop(me);
      }
    });
  }
  TracedThread* me = nullptr;
  Nanos before = 0;
  for (int i = 0; i < 500; ++i) {
    take(me, 9);
    const Nanos now = ++clock;
    const TraceReading reading = book.read(now, &all_alive);
    CHECK(reading.all.held >= before);
    CHECK(reading.all.held + reading.all.waited <= reading.all.lived);
    before = reading.all.held;
    if (i % 50 == 0) book.reset(now), before = 0;
    CHECK(book.events().size() <= 100);
    drop(me);
  }
  enough = true;
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gilknocker
