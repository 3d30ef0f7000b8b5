#include "check.hpp"
#include "gilknocker/tally.hpp"

namespace gilknocker {
namespace {

TEST(held_fraction_is_of_looks_with_a_gil) {
  CHECK_EQ(held_fraction(TickTally{}), 0.0);
  CHECK_EQ(held_fraction(TickTally{.ticks = 5, .disabled = 5, .missed = 3}), 0.0);
  CHECK_EQ(held_fraction(TickTally{.ticks = 10, .held = 4, .own = 1, .disabled = 2, .missed = 9}),
           0.5);
}

}  // namespace
}  // namespace gilknocker
