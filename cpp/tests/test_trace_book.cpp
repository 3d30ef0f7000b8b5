// The book of a trace: against a naive one that keeps every interval, and from many threads.
#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
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
      : book_(book), random_(random), asked_(threads, 0) {
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
      holder_ = kNobody;
    } else if (holder_ != kNobody) {
      book_.asked(*threads_[i], now_, false);
      if (asked_[i] == 0) asked_[i] = now_;
    } else {
      book_.acquired(*threads_[i], now_, false);
      if (asked_[i] != 0) naive_.waits.push_back({i, asked_[i], now_});
      asked_[i] = 0;
      holder_ = i;
      since_ = now_;
    }
  }

  // What goes on, up to now.
  Naive so_far() const {
    Naive all = naive_;
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
  Nanos now_ = 1;
  std::vector<TracedThread*> threads_;
  std::vector<Nanos> asked_;
  std::size_t holder_ = kNobody;
  Nanos since_ = 0;
  Naive naive_;
};

TEST(trace_book_agrees_with_keeping_everything) {
  for_seeds(300, [](Random& random) {
    TraceBook book(random() % 50, 1, 64);
    book.begin(1);
    Program program(book, 1 + random() % 5, random);
    const std::size_t steps = random() % 400;
    for (std::size_t i = 0; i < steps; ++i) program.step();
    const Naive all = program.so_far();
    const TraceReading reading = book.read(program.now(), &all_alive);
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

TEST(trace_book_finds_out_who_is_gone) {
  TraceBook book(10, 1, 8);
  book.begin(1);
  TracedThread& gone = book.enter(5, false, 1);
  book.acquired(gone, 10, false);
  book.released(gone, 30, false);
  TracedThread& holds = book.enter(6, false, 1);
  book.acquired(holds, 40, false);
  TracedThread& again = book.enter(5, false, 50);  // the number came back
  const TraceReading reading = book.read(100, [](std::int64_t id) { return id == 5; });
  CHECK(!reading.threads.at(0).alive);
  CHECK_EQ(reading.threads.at(0).totals.lived, 29);
  CHECK(reading.threads.at(1).alive);  // whoever has the GIL is there
  CHECK(reading.threads.at(2).alive);
  CHECK(!again.ended());
}

TEST(trace_book_takes_nothing_back_when_a_thread_is_gone) {
  TraceBook book(10, 1, 8);
  book.begin(1);
  TracedThread& thread = book.enter(5, false, 1);
  book.acquired(thread, 10, false);
  book.released(thread, 30, false);
  const TraceReading earlier = book.read(300, &all_alive);
  const TraceReading later = book.read(400, [](std::int64_t) { return false; });
  CHECK(!later.threads.at(0).alive);
  CHECK_EQ(earlier.all.lived, 299);
  CHECK_EQ(later.all.lived, 299);
}

TEST(trace_book_counts_holds_of_threads_that_find_no_room) {
  TraceBook book(10, 1, 2);
  book.begin(1);
  for (std::int64_t i = 0; i < 5; ++i) {
    TracedThread& thread = book.enter(i, false, 1);
    book.asked(thread, 5 + 10 * i, false);
    book.acquired(thread, 10 + 10 * i, i >= 2);  // of many it is not known since when one wanted it
    book.released(thread, 15 + 10 * i, false);
  }
  const TraceReading reading = book.read(100, &all_alive);
  CHECK_EQ(reading.threads.size(), 2U);
  CHECK_EQ(reading.all.held, 5 * 5);
  CHECK_EQ(reading.all.waits, 2);
  CHECK_EQ(book.events().back().thread, TraceBook::kCrowdSerial);
}

// Threads that come, hold the GIL and end, one after the other or side by side; with what each did.
class ShortLives {
 public:
  ShortLives(TraceBook& book, Random& random) : book_(book), random_(random) {}

  void live(std::size_t threads, std::size_t most_at_once) {
    for (std::size_t i = 0; i < threads; ++i) {
      const auto id = static_cast<std::int64_t>(lives_.size());
      Life& life = lives_.emplace_back();
      life.ours = random_() % 10 == 0;
      const EndMark end{&life.ends, life.ends.load()};
      TracedThread& thread = book_.enter(id, life.ours, now_, end);
      if (random_() % 2 == 0) {
        book_.asked(thread, now_, false);
        life.waited = step();
      }
      book_.acquired(thread, now_, false);
      life.held = step();
      book_.released(thread, now_, false);
      running_.push_back(&life);
      while (running_.size() > random_() % most_at_once) {
        running_.front()->ends.fetch_add(1);
        running_.pop_front();
      }
    }
  }

  Nanos now() const { return now_; }
  struct Life {
    std::atomic<std::uint32_t> ends{0};
    Nanos held = 0;
    Nanos waited = 0;
    bool ours = false;
    bool ended() const { return ends.load() != 0; }
  };
  const std::deque<Life>& lives() const { return lives_; }

 private:
  Nanos step() {
    const Nanos spent = 1 + static_cast<Nanos>(random_() % 1'000'000);
    now_ += spent;
    return spent;
  }

  TraceBook& book_;
  Random& random_;
  Nanos now_ = 10;
  std::deque<Life> lives_;
  std::deque<Life*> running_;
};

TEST(trace_book_folds_threads_that_ended) {
  for_seeds(20, [](Random& random) {
    TraceBook book(100, 1, 512);
    book.begin(1);
    ShortLives program(book, random);
    program.live(random() % 5'000, 1 + random() % 100);
    const TraceReading reading = book.read(program.now(), &all_alive);
    Nanos held = 0, waited = 0;
    std::int64_t count = 0;
    std::vector<Nanos> weights;
    for (const auto& life : program.lives()) {
      if (life.ours) continue;
      ++count;
      held += life.held;
      waited += life.waited;
      if (life.ended()) weights.push_back(life.held + life.waited);
    }
    CHECK_EQ(reading.all.held, held);
    CHECK_EQ(reading.all.waited, waited);
    CHECK_EQ(reading.all.acquisitions, count);
    CHECK_EQ(reading.crowd_held, 0);  // 512 slots did for all of them
    CHECK(reading.threads.size() < TraceBook::kEndedKept + 200);
    Nanos apart = 0;
    std::int64_t known = 0;
    std::set<std::int64_t> kept;
    for (const ThreadReading& one : reading.threads) {
      const auto& life = program.lives().at(static_cast<std::size_t>(one.native_id));
      CHECK_EQ(one.ours, life.ours);
      CHECK_EQ(one.alive, !life.ended());
      CHECK_EQ(one.totals.held, life.held);
      CHECK_EQ(one.serial >= TraceBook::kFirstOwn, life.ours);
      kept.insert(one.native_id);
      if (one.ours) continue;
      apart += one.totals.held;
      ++known;
    }
    CHECK_EQ(apart + reading.folded.held, held);
    CHECK_EQ(known + reading.folded_threads, count);
    // Those that mattered most are among those kept.
    if (weights.size() <= TraceBook::kEndedKept) return;
    std::sort(weights.rbegin(), weights.rend());
    const Nanos least = weights[TraceBook::kEndedKept];
    for (std::size_t i = 0; i < program.lives().size(); ++i) {
      const auto& life = program.lives()[i];
      if (life.ours || !life.ended() || life.held + life.waited <= least) continue;
      CHECK(kept.contains(static_cast<std::int64_t>(i)));
    }
  });
}

TEST(trace_book_forgets_who_was_folded_before_a_reset) {
  Random random(1);
  TraceBook book(0, 1, 512);
  book.begin(1);
  ShortLives program(book, random);
  program.live(2'000, 2);
  CHECK(book.read(program.now(), &all_alive).folded_threads > 1'000);
  book.reset(program.now());
  TraceReading reading = book.read(program.now(), &all_alive);
  CHECK_EQ(reading.folded_threads, 0);
  CHECK_EQ(reading.all.held, 0);
  const std::size_t before = program.lives().size();
  program.live(1'000, 2);
  reading = book.read(program.now(), &all_alive);
  Nanos held = 0;
  std::int64_t count = 0;
  for (std::size_t i = before; i < program.lives().size(); ++i) {
    if (program.lives()[i].ours) continue;
    held += program.lives()[i].held;
    ++count;
  }
  CHECK_EQ(reading.all.held, held);
  CHECK(reading.folded_threads <= count);  // none of those before
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
