// What one meter makes of the account's holders, against sums that were kept beside it.
#include <map>

#include "check.hpp"
#include "gilknocker/counted_holders.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

TEST(holders_of_a_meter_are_those_of_its_time) {
  for_seeds(100, [](Random& random) {
    HeldAccount account(1'024);
    CountedHolders meter;
    Cycles now = 1'000;
    account.begin(nullptr, now);
    bool counts = false;
    double expected = 0;
    std::map<std::uint64_t, double> truth;
    std::uint64_t next = 1;
    for (int i = 0; i < 3'000; ++i) {
      const std::uint64_t serial =
          chance(random, 0.5) ? next++ : static_cast<std::uint64_t>(integer_in(random, 1, 5));
      next = std::max<std::uint64_t>(next, 6);
      AccountHolder* const known = account.find(serial, nullptr);
      account.take(known != nullptr ? *known : account.add({serial, 0, 0}, nullptr), now);
      const auto held = static_cast<Cycles>(integer_in(random, 2, 1'000'000));
      if (counts) {
        expected += static_cast<double>(held) / 2;
        truth[serial] += static_cast<double>(held) / 2;
      }
      now += held;
      account.drop(now);
      if (account.is_crowded()) {
        account.fold([](const AccountHolder& one) { return one.serial <= 5; });
      }
      if (!chance(random, 0.02)) continue;
      if (counts) {
        meter.advance(account.holders(now), 2);
      } else {
        meter.resume(account.holders(now));
      }
      counts = chance(random, 0.7);
      if (!counts) continue;
      meter.resume(account.holders(now));
    }
    if (counts) meter.advance(account.holders(now), 2);
    double sum = 0;
    for (const CountedHolder& one : meter.all()) {
      sum += static_cast<double>(one.held);
      if (one.id.serial >= 1 && one.id.serial <= 5) CHECK_NEAR(one.held, truth[one.id.serial], 2);
      if (one.id.serial != 0) CHECK(static_cast<double>(one.held) <= truth[one.id.serial] + 1);
    }
    CHECK_NEAR(sum, expected, 2'000);  // what is cut off of each
    meter.clear();
    CHECK(meter.all().empty());
  });
}

}  // namespace
}  // namespace gilknocker
