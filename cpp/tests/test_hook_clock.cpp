// The hooks' clock, and what becomes of its readings on machines that move, sleep and are slewed.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "check.hpp"
#include "gilknocker/counted_time.hpp"
#include "gilknocker/hook_clock.hpp"
#include "machine.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

// Restores what the process uses.
class Chosen {
 public:
  explicit Chosen(HookClock::Source source) : before_(HookClock::source()) {
    HookClock::choose(source);
  }
  Chosen(const Chosen&) = delete;
  Chosen& operator=(const Chosen&) = delete;
  ~Chosen() { HookClock::choose(before_); }

 private:
  const HookClock::Source before_;
};

// Whatever this machine has, and what every machine has.
template <typename Body>
void for_sources(Body body) {
  for (const HookClock::Source source : {HookClock::find(), HookClock::Source::kSystem}) {
    const Chosen chosen(source);
    check::note() = HookClock::name();
    body();
  }
  check::note().clear();
}

// An account of one thread's holds on such a machine, with the truth beside it.
class Program {
 public:
  explicit Program(Machine& machine) : machine_(machine), account_(64) {
    account_.begin(nullptr, machine.cycles());
  }

  void pass(Nanos time) {
    machine_.pass(time);
    if (holds_) held_ += time;
  }
  void hand_over() {
    if (holds_) {
      account_.drop(machine_.cycles());
    } else {
      AccountHolder* const known = account_.find(1, nullptr);
      account_.take(known != nullptr ? *known : account_.add({1, 0, 0}, nullptr),
                    machine_.cycles());
    }
    holds_ = !holds_;
  }
  Nanos held() const { return held_; }
  bool holds() const { return holds_; }
  // With an instant whose counter is off by up to `doubt` cycles.
  HeldReading read(std::int64_t doubt, Random& random) const {
    const auto off = static_cast<Cycles>(doubt == 0 ? 0 : integer_in(random, -doubt, doubt));
    return account_.read_by(
        [this, off] { return Instant{machine_.cycles() + off, machine_.now()}; });
  }

 private:
  Machine& machine_;
  HeldAccount account_;
  bool holds_ = false;
  Nanos held_ = 0;
};

TEST(the_hook_clock_never_goes_back_on_one_thread_and_keeps_errno) {
  for_sources([] {
    errno = EDOM;
    Instant last = HookClock::instant();
    Cycles count = HookClock::now();
    for (int i = 0; i < 100'000; ++i) {
      const Cycles now = HookClock::now();
      CHECK(now >= count);
      count = HookClock::now_in_order();
      CHECK(count >= now);
      const Instant instant = HookClock::instant();
      CHECK(instant.cycles >= last.cycles);
      CHECK(instant.nanos >= last.nanos);
      last = instant;
    }
    CHECK_EQ(errno, EDOM);
  });
}

TEST(a_reading_costs_what_it_takes) {
  for_sources([] {
    constexpr int kReadings = 1'000;
    Nanos least = kNever;
    for (int i = 0; i < 20; ++i) {
      const Nanos begin = HookClock::nanos();
      for (int k = 0; k < kReadings; ++k) static_cast<void>(HookClock::now());
      least = std::min(least, HookClock::nanos() - begin);
    }
    const Nanos each = std::max<Nanos>(least / kReadings, 1);
    CHECK(HookClock::reading_cost() >= each / 2);
    CHECK(HookClock::reading_cost() <= 8 * each + 8);  // a machine busy when it was chosen
  });
}

TEST(the_hook_clock_says_what_it_is) {
  const Chosen chosen(HookClock::Source::kSystem);
  CHECK_EQ(std::string(HookClock::name()), "clock_gettime");
  HookClock::choose(HookClock::Source::kTsc);
  CHECK_EQ(std::string(HookClock::name()), "tsc");
  HookClock::choose(HookClock::Source::kCntvct);
  CHECK_EQ(std::string(HookClock::name()), "cntvct");
}

// A thread that loses its CPU between the two clocks must not take that for one moment.
TEST(an_instant_is_the_tightest_of_some) {
  std::vector<Nanos> lost = {0, 5'000'000, 0, 0, 7'000'000, 0, 0};
  std::size_t step = 0;
  Nanos time = 0;
  const auto pass = [&] {
    time += 20 + (step < lost.size() ? lost[step] : 0);
    ++step;
  };
  const Instant instant = tightest_instant(
      [&] {
        pass();
        return static_cast<Cycles>(3 * time);
      },
      [&] {
        pass();
        return time;
      });
  const auto off = static_cast<double>(instant.cycles) / 3 - static_cast<double>(instant.nanos);
  CHECK(std::abs(off) <= 20);
}

TEST(counted_time_is_the_truth_under_slewing_and_migration) {
  for_seeds(300, [](Random& random) {
    Machine machine(random);
    Program program(machine);
    const auto most = static_cast<std::int64_t>(50 * machine.pace());  // of 50 ns
    const std::int64_t skew = integer_in(random, 0, most);
    const std::int64_t doubt = chance(random, 0.5) ? integer_in(random, 0, most) : 0;
    CountedTime time;
    time.resume(program.read(0, random));
    const Nanos began = machine.now();
    const Nanos longest = log_uniform_in(random, 1'000, 50'000'000);
    Nanos before_held = 0;
    Nanos before_counted = 0;
    for (int i = 0; i < 300; ++i) {
      if (chance(random, 0.1)) machine.slew();
      if (chance(random, 0.3)) machine.migrate(skew);
      program.pass(log_uniform_in(random, 500, longest));
      program.hand_over();
      if (!chance(random, 0.5)) continue;
      program.pass(log_uniform_in(random, 1, longest));  // in the midst of it
      time.advance(program.read(doubt, random));
      // Never less than before, never more than has passed.
      CHECK(time.held() >= before_held);
      CHECK(time.counted() >= before_counted);
      CHECK(time.held() - before_held <= time.counted() - before_counted);
      before_held = time.held();
      before_counted = time.counted();
    }
    time.advance(program.read(0, random));
    CHECK_EQ(time.counted(), machine.now() - began);
    // The skew at each end of a hold and the doubt of each reading; a slewed stretch; what is
    // rounded.
    const double elapsed = static_cast<double>(machine.now() - began);
    CHECK_NEAR(
        time.held(), program.held(),
        600.0 * static_cast<double>(2 * skew + doubt) / machine.pace() + 0.0005 * elapsed + 300);
  });
}

TEST(counted_time_needs_no_rate_where_readings_are_close_together) {
  for_seeds(100, [](Random& random) {
    Machine machine(random);
    Program program(machine);
    CountedTime time;
    time.resume(program.read(0, random));
    constexpr int kReadings = 20'000;
    for (int i = 0; i < kReadings; ++i) {
      program.pass(integer_in(random, 1, 400));
      if (chance(random, 0.2)) program.hand_over();
      time.advance(program.read(0, random));
    }
    // What a counter cannot tell apart, one way or the other; half a ns of each reading.
    CHECK_NEAR(time.held(), program.held(), kReadings * (0.5 + 0.05 / machine.pace()));
  });
}

TEST(a_suspended_machine_is_not_held) {
  for_seeds(300, [](Random& random) {
    Machine machine(random);
    Program program(machine);
    CountedTime time;
    time.resume(program.read(0, random));
    for (int i = 0; i < 50; ++i) {
      const bool suspends = i > 5 && chance(random, 0.2);
      // One hold and one rest in each window: the time of the suspend is in one of them.
      for (int half = 0; half < 2; ++half) {
        program.pass(integer_in(random, 1'000'000, 30'000'000));
        if (suspends && half == i % 2)
          machine.suspend(integer_in(random, 1'000'000'000, 100'000'000'000'000));
        program.pass(integer_in(random, 1'000'000, 30'000'000));
        program.hand_over();
      }
      time.advance(program.read(0, random));
    }
    CHECK_NEAR(time.held(), program.held(), 0.0005 * static_cast<double>(machine.now()) + 1'000);
  });
}

TEST(a_counter_that_begins_anew_loses_one_window_and_nothing_else) {
  for_seeds(100, [](Random& random) {
    Machine machine(random);
    Program program(machine);
    CountedTime time;
    time.resume(program.read(0, random));
    constexpr Nanos kWindow = 10'000'000;
    for (int i = 0; i < 100; ++i) {
      if (i == 50) machine.restart_counter();
      program.pass(kWindow / 2);
      program.hand_over();
      program.pass(kWindow / 2);
      const Nanos before = time.held();
      time.advance(program.read(0, random));
      CHECK(time.held() >= before);
      CHECK(time.held() - before <= kWindow);
    }
    CHECK_NEAR(time.held(), program.held(), 1.01 * kWindow);
  });
}

TEST(another_rate_for_good_is_learnt_in_three_windows) {
  Random random(1);
  Machine slow(random);
  HeldAccount account(64);
  CountedTime time;
  account.begin(&account.add({1, 0, 0}, nullptr), 0);
  Cycles cycles = 0;
  Nanos now = 0;
  const auto read = [&] { time.advance(account.read_by([&] { return Instant{cycles, now}; })); };
  const auto window = [&](Cycles rate) {  // half of it held
    now += 5'000'000;
    cycles += 5'000'000 * rate;
    account.drop(cycles);
    now += 5'000'000;
    cycles += 5'000'000 * rate;
    account.take(*account.find(1, nullptr), cycles);
    read();
  };
  time.resume(account.read_by([&] { return Instant{cycles, now}; }));
  for (int i = 0; i < 10; ++i) window(2);
  CHECK_NEAR(time.held(), 50'000'000, 10);
  for (int i = 0; i < 3; ++i) window(3);
  const Nanos after = time.held();
  for (int i = 0; i < 10; ++i) window(3);
  CHECK_NEAR(time.held() - after, 50'000'000, 10);
}

}  // namespace
}  // namespace gilknocker
