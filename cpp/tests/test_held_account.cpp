// The account of held time against a serial oracle, and read by threads beside its writer.
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "check.hpp"
#include "gilknocker/counted_time.hpp"
#include "gilknocker/held_account.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

AccountHolder& holder_of(HeldAccount& account, std::uint64_t serial) {
  AccountHolder* const known = account.find(serial, nullptr);
  return known != nullptr ? *known : account.add({serial, serial + 100, 0}, nullptr);
}

TEST(a_holder_is_found_at_once_only_in_the_cell_of_its_serial) {
  HeldAccount account(64);
  const int interpreter = 0;
  CHECK(account.find_at_once(1, &interpreter) == nullptr);
  AccountHolder* const first = &account.add({1, 0, 0}, &interpreter);
  AccountHolder* const moved_on = &account.add({65, 0, 0}, &interpreter);
  CHECK(account.find_at_once(1, &interpreter) == first);
  CHECK(account.find_at_once(1, nullptr) == nullptr);  // another interpreter's
  CHECK(account.find_at_once(65, &interpreter) == nullptr);
  CHECK(account.find(65, &interpreter) == moved_on);
}

Cycles total(const std::vector<HolderReading>& holders) {
  Cycles sum = 0;
  for (const HolderReading& one : holders) sum += one.held;
  return sum;
}

TEST(the_account_is_the_sum_of_holds_with_the_one_in_progress) {
  for_seeds(200, [](Random& random) {
    HeldAccount account(64);
    Cycles now = static_cast<Cycles>(integer_in(random, 0, kNever));
    std::map<std::uint64_t, Cycles> truth;
    std::uint64_t holder = 0;  // 0: nobody; 1: one of ours
    std::uint64_t takes = 0;
    std::uint64_t own = 0;
    account.begin(nullptr, now);
    for (int i = 0; i < 2'000; ++i) {
      const auto step = static_cast<Cycles>(log_uniform_in(random, 1, 1'000'000'000));
      now += step;
      if (holder > 1) truth[holder] += step;
      if (holder != 0) {
        account.drop(now);
        holder = 0;
      } else {
        holder = static_cast<std::uint64_t>(integer_in(random, 1, 20));
        if (holder == 1) {
          account.take_as_ours();
          ++own;
        } else {
          account.take(holder_of(account, holder), now);
          ++takes;
        }
      }
      const auto later = now + static_cast<Cycles>(integer_in(random, 0, 1'000));
      Cycles expected = holder > 1 ? later - now : 0;
      for (const auto& [serial, held] : truth) expected += held;
      const HeldReading reading = account.read_by([later] { return Instant{later, 0}; });
      CHECK_EQ(reading.held, expected);
      CHECK_EQ(reading.takes, takes);
      CHECK_EQ(reading.own_takes, own);
      CHECK(reading.counts);
      if (i % 100 != 0) continue;
      const std::vector<HolderReading> holders = account.holders(later);
      CHECK_EQ(total(holders), expected);
      for (const HolderReading& one : holders) {
        if (one.id.serial == 0) continue;
        CHECK_EQ(one.id.ident, one.id.serial + 100);
        CHECK_EQ(one.held, truth[one.id.serial] + (one.id.serial == holder ? later - now : 0));
      }
    }
  });
}

TEST(eras_have_nothing_in_common) {
  HeldAccount account(64);
  CHECK(!account.read().counts);
  account.begin(&holder_of(account, 2), 1'000);
  const auto at = [&account](Cycles cycles) {
    return account.read_by([cycles] { return Instant{cycles, static_cast<Nanos>(cycles)}; });
  };
  CountedTime time;
  time.resume(at(1'000));
  time.advance(at(2'000));
  CHECK_EQ(time.held(), 1'000);
  account.end(3'000);
  CHECK(!account.read().counts);
  time.advance(at(3'500));
  CHECK_EQ(time.held(), 1'000);  // nobody knows what was until the end
  CHECK_EQ(time.counted(), 1'000);
  account.begin(&holder_of(account, 2), 10'000);
  time.advance(at(11'000));
  CHECK_EQ(time.held(), 1'000);
  time.advance(at(12'000));
  CHECK_EQ(time.held(), 2'000);
  CHECK_EQ(time.counted(), 2'000);
  CHECK_EQ(total(account.holders(12'000)), 4'000);
}

TEST(serials_of_two_interpreters_are_two_threads) {
  HeldAccount account(64);
  const int other = 0;
  account.begin(nullptr, 0);
  AccountHolder& one = account.add({3, 0, 0}, nullptr);
  AccountHolder& two = account.add({3, 0, 0}, &other);
  CHECK(&one != &two);
  CHECK(account.find(3, nullptr) == &one);
  CHECK(account.find(3, &other) == &two);
  CHECK(account.find(67, nullptr) == nullptr);  // the same cell, if it were
}

TEST(a_thread_that_comes_by_another_state_is_the_same_holder) {
  HeldAccount account(1'024);
  account.begin(nullptr, 0);
  Cycles now = 0;
  for (std::uint64_t serial = 1; serial <= 5'000; ++serial) {
    const std::uint64_t thread = serial % 3;
    const HolderId id{serial, 77 + thread, static_cast<std::int64_t>(500 + 1'024 * thread)};
    CHECK(account.find(serial, nullptr) == nullptr);
    account.take(account.add(id, nullptr), now);
    account.drop(now += 10 * (thread + 1));
    if (serial % 1'000 == 0) account.fold([](const AccountHolder&) { return false; });
  }
  const std::vector<HolderReading> holders = account.holders(now);
  REQUIRE(holders.size() == 4);
  for (const HolderReading& one : holders) {
    if (one.id.serial == 0) continue;
    const std::uint64_t thread = one.id.ident - 77;
    CHECK_EQ(one.held, 10 * (thread + 1) * (thread == 0 ? 1'666 : 1'667));
  }
  CHECK_EQ(holders.back().held, 0);
  // The system's number again, but another stack; and threads of which no number is known.
  CHECK(&account.add({6'000, 76, 500}, nullptr) != &account.add({6'001, 77, 500}, nullptr));
  CHECK(&account.add({6'002, 77, 0}, nullptr) != &account.add({6'003, 77, 0}, nullptr));
}

TEST(who_finds_no_room_is_among_the_others_until_the_ended_are_folded) {
  for_seeds(50, [](Random& random) {
    HeldAccount account(2'048);
    account.begin(nullptr, 0);
    std::map<std::uint64_t, Cycles> truth;
    Cycles now = 0;
    std::uint64_t alive_from = 1;
    for (std::uint64_t serial = 1; serial <= 10'000; ++serial) {
      account.take(holder_of(account, serial), now);
      const auto held = static_cast<Cycles>(log_uniform_in(random, 1, 1'000'000));
      truth[serial] = held;
      now += held;
      const bool holding = chance(random, 0.5);
      if (!holding) account.drop(now);
      if (account.is_crowded() && chance(random, 0.1)) {
        alive_from = serial > 10 ? serial - 10 : 1;
        account.fold([alive_from](const AccountHolder& one) { return one.serial >= alive_from; });
        CHECK(!account.is_crowded());
      }
      if (holding) account.drop(now);
    }
    Cycles expected = 0;
    for (const auto& [serial, held] : truth) expected += held;
    const std::vector<HolderReading> holders = account.holders(now);
    CHECK_EQ(total(holders), expected);
    CHECK_EQ(account.read_by([now] { return Instant{now, 0}; }).held, expected);
    CHECK_EQ(holders.back().id.serial, 0);
    for (const HolderReading& one : holders) {
      if (one.id.serial != 0) CHECK_EQ(one.held, truth[one.id.serial]);
    }
  });
}

TEST(those_who_held_it_longest_keep_their_names) {
  HeldAccount account(1'024);
  account.begin(nullptr, 0);
  Cycles now = 0;
  for (std::uint64_t serial = 1; serial <= 512; ++serial) {
    account.take(holder_of(account, serial), now);
    account.drop(now += serial % 2 == 0 ? 1'000 : 1);
  }
  for (int i = 0; i < 100; ++i) account.name(ThreadName{'a', static_cast<char>('0' + i % 10)});
  CHECK(account.is_crowded());
  account.fold([](const AccountHolder&) { return false; });
  const std::vector<HolderReading> holders = account.holders(now);
  CHECK_EQ(holders.size(), HeldAccount::kEndedKept + 1);
  std::size_t named = 0;
  for (const HolderReading& one : holders) {
    named += one.name[0] == 'a';
    if (one.id.serial != 0) CHECK_EQ(one.held, 1'000);
  }
  CHECK_EQ(named, 50);  // every second one of the first 100
  CHECK_EQ(holders.back().held, 256);
  REQUIRE(account.unnamed() != nullptr);
  CHECK(account.unnamed()->serial > 100);
  account.name(ThreadName{'b'});
  CHECK(account.find(102, nullptr)->name[0] == 'b');
}

TEST(a_child_knows_nothing_of_its_parents_holds) {
  HeldAccount account(64);
  account.begin(&holder_of(account, 2), 10);
  const HeldReading before = account.read();
  account.forget();
  CHECK(!account.read().counts);
  CHECK_EQ(account.read().held, 0);
  CHECK_EQ(account.holders(100).size(), 1);
  account.drop(100);
  account.begin(&holder_of(account, 3), 200);
  const HeldReading after = account.read_by([] { return Instant{300, 0}; });
  CHECK(after.era != before.era);
  CHECK_EQ(after.held, 100);
}

// One thread writes, as the holders of a GIL do one after the other; three read. A writer that
// loses its CPU between the clock and the store ends a hold in the past, so that the account itself
// may go back by as much: what a meter makes of it never does.
TEST(meters_beside_the_writer_never_see_less_than_before) {
  HeldAccount account(64);
  account.begin(nullptr, HookClock::now());
  std::atomic<bool> ends{false};
  const auto reads = [&account, &ends] {
    CountedTime time;
    time.resume(account.read());
    int readings = 0;
    while (!ends.load(std::memory_order_relaxed) || readings < 100) {
      const HeldReading reading = account.read();
      const Nanos before = time.held();
      time.advance(reading);
      CHECK(time.held() >= before);
      CHECK(time.held() <= time.counted());
      ++readings;
    }
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) readers.emplace_back(reads);
  Cycles truth = 0;
  for (int i = 0; i < 100'000; ++i) {
    const Cycles from = HookClock::now();
    account.take(holder_of(account, 2 + static_cast<std::uint64_t>(i % 5)), from);
    for (int spin = 0; spin < i % 7; ++spin) static_cast<void>(HookClock::now_in_order());
    const Cycles to = HookClock::now();
    account.drop(to);
    truth += to - from;
  }
  ends.store(true, std::memory_order_relaxed);
  for (std::thread& reader : readers) reader.join();
  CHECK_EQ(account.read().held, truth);
  CHECK_EQ(total(account.holders(HookClock::now())), truth);
}

}  // namespace
}  // namespace gilknocker
