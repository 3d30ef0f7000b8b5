// Threads that end while a trace runs: found out, folded into a sum, and forgotten.
#include <algorithm>
#include <atomic>
#include <deque>
#include <set>
#include <vector>

#include "check.hpp"
#include "gilknocker/trace_book.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

bool all_alive(std::int64_t) { return true; }

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

}  // namespace
}  // namespace gilknocker
