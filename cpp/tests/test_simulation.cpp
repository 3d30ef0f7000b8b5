// The oracle itself, against what a child would count.
#include "check.hpp"
#include "load.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

TEST(load_agrees_with_asking_every_instant) {
  for_seeds(50, [](Random& random) {
    std::vector<bool> held(300);
    std::vector<Hold> holds;
    for (Nanos at = integer_in(random, 0, 9); at < 280; at += integer_in(random, 1, 9)) {
      holds.push_back({at, at + integer_in(random, 1, 9)});
      for (; at < holds.back().to; ++at) held[static_cast<std::size_t>(at)] = true;
    }
    const Load load(holds);
    for (std::size_t from = 0; from < held.size(); ++from) {
      const auto instant = static_cast<Nanos>(from);
      CHECK_EQ(load.held_at(instant), held[from]);
      std::size_t free = from;
      while (free < held.size() && held[free]) ++free;
      CHECK_EQ(load.free_from(instant), static_cast<Nanos>(free));
      const std::size_t to = from + (from % 40) % (held.size() - from);
      CHECK_EQ(load.held_between(instant, static_cast<Nanos>(to)),
               std::count(held.begin() + instant, held.begin() + static_cast<Nanos>(to), true));
    }
  });
}

TEST(load_is_as_busy_as_planned) {
  for_seeds(40, [](Random& random) {
    const Nanos hold = log_uniform_in(random, 5'000, 500'000);
    const Nanos end = 20'000 * hold;
    const LoadPlan alone{.threads = 1, .hold = hold, .think = 3 * hold, .exponential = true};
    const double alone_held =
        static_cast<double>(make_load(alone, 0, end, random).held_between(0, end));
    CHECK_NEAR(alone_held / static_cast<double>(end), 0.25, 0.03);
    // Four threads that think as long as one holds leave it free for 1 / (0! 1/4! e-sum) of 65.
    const LoadPlan crowd{.threads = 4, .hold = hold, .think = hold, .exponential = true};
    const double crowd_held =
        static_cast<double>(make_load(crowd, 0, end, random).held_between(0, end));
    CHECK_NEAR(crowd_held / static_cast<double>(end), 64.0 / 65.0, 0.01);
  });
}

TEST(simulation_tells_the_share_of_time_that_is_ours) {
  for_seeds(20, [](Random& random) {
    const Nanos end = 1'000'000'000;
    const Load load = make_load({.hold = 40'000, .think = 60'000}, 0, end, random);
    Simulation still(load, 0, end, {}, random);
    CHECK_EQ(still.ours_between(0, end), end);
    CHECK_NEAR(still.held_fraction_between(0, end), 0.4, 0.001);
    Simulation stolen(load, 0, end, {.stolen = 0.3, .longest_theft = 100'000}, random);
    CHECK_NEAR(static_cast<double>(stolen.ours_between(0, end)) / static_cast<double>(end), 0.7,
               0.03);
    CHECK_NEAR(stolen.held_fraction_between(0, end), 0.4, 0.02);
  });
}

}  // namespace
}  // namespace gilknocker
