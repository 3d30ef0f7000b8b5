// The clock of traces, beside the system's, on machines that are slewed, move, sleep and rest.
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>
#include <vector>

#include "check.hpp"
#include "gilknocker/trace_clock.hpp"
#include "machine.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

constexpr Nanos kSecond = 1'000'000'000;

// The clocks of a Machine. To read them takes time.
class Clocks {
 public:
  Clocks(Machine& machine, Random& random) : machine_(machine), random_(random) {}

  bool has_counter() const { return has_counter_; }
  Cycles counter() const { return machine_.cycles(); }
  Nanos nanos() const {
    ++reads_;
    return machine_.now();
  }
  Instant instant() const {
    return tightest_instant(
        [this] {
          pass();
          return machine_.cycles();
        },
        [this] {
          pass();
          return nanos();
        });
  }

  void take_counter_away() { has_counter_ = false; }
  void disturb(double probability) { disturbed_ = probability; }
  int reads() const { return reads_; }  // of the system's clock

  // Half of what both clocks take together.
  static constexpr Nanos kDoubt = 30;

 private:
  void pass() const {
    machine_.pass(integer_in(random_, 5, kDoubt));
    if (disturbed_ != 0 && chance(random_, disturbed_)) {
      machine_.pass(log_uniform_in(random_, 1'000, 20'000'000));
    }
  }

  Machine& machine_;
  Random& random_;
  bool has_counter_ = true;
  double disturbed_ = 0;
  mutable int reads_ = 0;
};

// Takes and drops, and what the clock says of each beside the truth.
class Trace {
 public:
  explicit Trace(Random& random) : random_(random), machine_(random), clocks_(machine_, random) {}

  Machine& machine() { return machine_; }
  Clocks& clocks() { return clocks_; }
  TraceClock& clock() { return clock_; }

  // How far off it may be while the slew stays as it is. A counter does not tell apart what lies
  // within one of its steps.
  double bound(Nanos doubt = Clocks::kDoubt) const {
    const double step = 1 / machine_.pace();
    return 6 * (static_cast<double>(doubt) + step) + step + 2;
  }

  // A hook, or a reader with the GIL. How far off it is; negative: behind.
  double hook() {
    const Nanos before = machine_.now();
    const Nanos seen = chance(random_, 0.9) ? clock_.next(clocks_) : clock_.now(clocks_);
    CHECK(seen >= last_);
    last_ = seen;
    const Nanos beside = clock_.beside(clocks_);
    CHECK(beside >= seen);
    const Nanos after = machine_.now();
    return static_cast<double>(seen < before ? seen - before : std::max<Nanos>(seen - after, 0));
  }
  // Hooks for so long, at most so far apart. The farthest that one was off.
  double run(Nanos time, Nanos longest) {
    double most = 0;
    for (const Nanos end = machine_.now() + time; machine_.now() < end;) {
      machine_.pass(log_uniform_in(random_, 100, longest));
      most = std::max(most, std::abs(hook()));
    }
    return most;
  }

 private:
  Random& random_;
  Machine machine_;
  Clocks clocks_;
  TraceClock clock_;
  Nanos last_ = 0;
};

TEST(trace_clock_is_the_systems_where_there_is_no_counter) {
  Random random(1);
  Trace trace(random);
  trace.clocks().take_counter_away();
  for (int i = 0; i < 1'000; ++i) {
    trace.machine().pass(integer_in(random, 0, 10'000'000));
    CHECK_EQ(trace.hook(), 0);
    CHECK_EQ(trace.clock().beside(trace.clocks()), trace.machine().now());
  }
}

TEST(trace_clock_is_right_at_a_constant_pace_and_hardly_asks_the_system) {
  for_seeds(50, [](Random& random) {
    Trace trace(random);
    trace.machine().slew();
    CHECK(trace.run(kSecond, 2'000'000) <= trace.bound());
    trace.run(kSecond / 20, 200'000);
    const int before = trace.clocks().reads();
    CHECK(trace.run(2 * kSecond, 200'000) <= trace.bound());
    // Three for each anchor, and there is one each 64 ms; one of each reader before the next hook.
    CHECK(trace.clocks().reads() - before <= 4 * 32);
  });
}

TEST(trace_clock_follows_where_the_systems_is_slewed) {
  for_seeds(100, [](Random& random) {
    Trace trace(random);
    for (int i = 0; i < 20; ++i) {
      trace.machine().slew();
      // The one before goes on until the next anchor, and a part of it until the one after that.
      const double most = 2 * Machine::kMostSlew * static_cast<double>(TraceClock::kLongest);
      CHECK(trace.run(3 * TraceClock::kLongest, 300'000) <= most + trace.bound());
      CHECK(trace.run(kSecond / 2, 300'000) <= trace.bound());
    }
  });
}

TEST(trace_clock_that_is_ahead_goes_slower_until_they_meet) {
  Random random(1);
  Trace trace(random);
  trace.machine().slew_to(Machine::kMostSlew);
  trace.run(kSecond, 100'000);
  trace.machine().slew_to(-Machine::kMostSlew);  // of the counter: the system's clock is faster now
  trace.run(kSecond, 100'000);
  trace.machine().slew_to(Machine::kMostSlew);
  double ahead = 0;
  Nanos stands = 0;
  Nanos last = trace.clock().next(trace.clocks());
  for (int i = 0; i < 200'000; ++i) {
    trace.machine().pass(1'000);
    ahead = std::max(ahead, trace.hook());
    const Nanos now = trace.clock().next(trace.clocks());
    stands += now - last < 800;
    last = now;
  }
  CHECK(ahead > 10'000);
  CHECK_EQ(stands, 0);
  CHECK(trace.run(kSecond / 10, 100'000) <= trace.bound());
}

TEST(trace_clock_is_right_where_counters_of_cpus_differ) {
  for_seeds(50, [](Random& random) {
    Trace trace(random);
    const auto skew = static_cast<std::int64_t>(100 * trace.machine().pace());  // of 100 ns
    // Each anchor may be read on another CPU than the one before, and than the hook's.
    const double bound = trace.bound(Clocks::kDoubt + 200);
    for (int i = 0; i < 300; ++i) {
      trace.machine().migrate(skew);
      CHECK(trace.run(integer_in(random, 1'000, 10'000'000), 100'000) <= bound);
    }
  });
}

TEST(trace_clock_stands_still_while_the_machine_is_suspended) {
  for_seeds(100, [](Random& random) {
    Trace trace(random);
    for (int i = 0; i < 20; ++i) {
      trace.run(integer_in(random, 1'000, kSecond / 5), 300'000);
      // A second to a day; the counter goes on, or does not.
      if (chance(random, 0.7)) {
        trace.machine().suspend(log_uniform_in(random, kSecond, 86'400 * kSecond));
      }
      CHECK(std::abs(trace.hook()) <= trace.bound());
      CHECK(trace.run(kSecond / 10, 300'000) <= trace.bound());
    }
  });
}

TEST(trace_clock_is_right_after_a_rest_of_an_hour) {
  for_seeds(100, [](Random& random) {
    Trace trace(random);
    for (int i = 0; i < 10; ++i) {
      trace.run(log_uniform_in(random, 1'000, kSecond / 2), 300'000);
      for (int part = 0; part < 6; ++part) {
        if (chance(random, 0.5)) trace.machine().slew();
        trace.machine().pass(integer_in(random, 1, 600 * kSecond));
      }
      // Who only reads, or asks, must not go by an anchor of an hour ago.
      const Nanos beside = trace.clock().beside(trace.clocks());
      CHECK_NEAR(beside, trace.machine().now(), trace.bound());
      CHECK_NEAR(trace.clock().now(trace.clocks()), trace.machine().now(), trace.bound());
      CHECK(std::abs(trace.hook()) <= trace.bound());
      // It was slewed by another rate than on average: for 1 ms.
      const double most = 2 * Machine::kMostSlew * static_cast<double>(TraceClock::kFirst);
      CHECK(trace.run(kSecond / 2, 300'000) <= most + trace.bound());
    }
  });
}

TEST(trace_clock_survives_counters_that_begin_anew_or_change_their_pace) {
  for_seeds(100, [](Random& random) {
    Trace trace(random);
    for (int i = 0; i < 10; ++i) {
      trace.run(kSecond / 5, 300'000);
      const bool anew = chance(random, 0.5);
      if (anew) {
        trace.machine().restart_counter();
        CHECK(std::abs(trace.hook()) <= trace.bound());
      } else {
        // Up to twice as fast, or half: that is not seen until the next anchor is due by the
        // counter, and time stands still where it went too fast.
        trace.machine().change_pace(real_in(random, 0.5, 2));
        trace.run(4 * TraceClock::kLongest, 300'000);
      }
      CHECK(trace.run(kSecond / 5, 300'000) <= trace.bound());
    }
  });
}

TEST(trace_clock_believes_no_anchor_that_took_long_to_read) {
  for_seeds(50, [](Random& random) {
    Trace trace(random);
    trace.clocks().disturb(0.7);
    for (int i = 0; i < 20; ++i) {
      // Of three tries the best took 1 us at most, or it is none.
      CHECK(trace.run(kSecond / 2, 300'000) <= trace.bound(500));
    }
  });
}

TEST(trace_clock_forgets_all_in_a_forked_child) {
  Random random(1);
  Trace trace(random);
  trace.run(kSecond, 100'000);
  trace.clock().forget();
  Machine earlier(random);  // CLOCK_MONOTONIC of another time namespace
  const Clocks clocks(earlier, random);
  CHECK_EQ(trace.clock().beside(clocks), earlier.now());
  const Nanos before = earlier.now();
  const Nanos seen = trace.clock().next(clocks);
  CHECK(before <= seen && seen <= earlier.now());
}

// ---- this machine's ----------------------------------------------------------------------------

// The process's source while a test runs.
class Chosen {
 public:
  Chosen() { HookClock::choose(HookClock::find()); }
  Chosen(const Chosen&) = delete;
  Chosen& operator=(const Chosen&) = delete;
  ~Chosen() { HookClock::choose(HookClock::Source::kSystem); }
};

TEST(trace_clock_stands_beside_the_systems_on_this_machine_and_keeps_errno) {
  const Chosen chosen;
  TraceClock clock;
  const SystemClock system;
  errno = EDOM;
  Nanos last = 0;
  Nanos farthest = 0;
  for (const Nanos end = system.now() + kSecond / 2; last < end;) {
    const Nanos before = system.now();
    const Nanos seen = clock.next(HookClock());
    const Nanos after = system.now();
    CHECK(seen >= last);
    last = seen;
    farthest = std::max({farthest, before - seen, seen - after});
  }
  CHECK(farthest <= 1'000);
  CHECK_EQ(errno, EDOM);
}

// Takers and droppers with the lock and the GIL, readers with the GIL, askers with the lock.
TEST(trace_clock_is_shared_by_the_rules_of_the_gil) {
  const Chosen chosen;
  TraceClock clock;
  std::mutex lock;
  bool taken = false;  // guarded by `lock`
  std::atomic<bool> ends{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      Nanos last = 0;
      while (!ends.load(std::memory_order_relaxed)) {
        Nanos since = 0;
        {
          const std::lock_guard<std::mutex> locked(lock);
          if (taken) {
            CHECK(clock.beside(HookClock()) >= last);
            continue;
          }
          taken = true;
          since = clock.next(HookClock());
        }
        CHECK(since >= last);
        last = clock.now(HookClock());
        CHECK(last >= since);
        const std::lock_guard<std::mutex> locked(lock);
        taken = false;
        const Nanos until = clock.next(HookClock());
        CHECK(until >= last);
        last = until;
        if (i == 0 && until % 64 == 0) std::this_thread::yield();
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  ends.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace gilknocker
