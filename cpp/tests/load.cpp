#include "load.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace gilknocker {

Load::Load(std::vector<Hold> holds) : holds_(std::move(holds)) {
  Nanos sum = 0;
  held_before_.reserve(holds_.size() + 1);
  for (const Hold& hold : holds_) {
    held_before_.push_back(sum);
    sum += hold.to - hold.from;
  }
  held_before_.push_back(sum);
}

std::size_t Load::holds_begun_by(Nanos instant) const noexcept {
  const auto after =
      std::upper_bound(holds_.begin(), holds_.end(), instant,
                       [](Nanos value, const Hold& hold) { return value < hold.from; });
  return static_cast<std::size_t>(after - holds_.begin());
}

bool Load::held_at(Nanos instant) const noexcept {
  const std::size_t begun = holds_begun_by(instant);
  return begun > 0 && instant < holds_[begun - 1].to;
}

Nanos Load::free_from(Nanos instant) const noexcept {
  return held_at(instant) ? holds_[holds_begun_by(instant) - 1].to : instant;
}

Nanos Load::held_until(Nanos instant) const noexcept {
  const std::size_t begun = holds_begun_by(instant);
  const Nanos to_come = begun > 0 ? std::max<Nanos>(holds_[begun - 1].to - instant, 0) : 0;
  return held_before_[begun] - to_come;
}

Nanos Load::held_between(Nanos from, Nanos to) const noexcept {
  return held_until(to) - held_until(from);
}

Load make_load(const LoadPlan& plan, Nanos from, Nanos to, Random& random) {
  const auto draw = [&](Nanos mean) {
    return plan.exponential ? exponential(random, static_cast<double>(mean)) : mean;
  };
  std::vector<Nanos> asks;  // when each thread next asks for the GIL
  for (int i = 0; i < plan.threads; ++i) {
    asks.push_back(from + integer_in(random, 0, plan.hold + plan.think));
  }
  std::vector<Hold> holds;
  while (true) {
    auto& ask = *std::min_element(asks.begin(), asks.end());
    const Nanos begin = holds.empty() ? ask : std::max(ask, holds.back().to);
    if (begin >= to) return Load(std::move(holds));
    const Nanos end = begin + std::max<Nanos>(draw(plan.hold), 1);
    if (!holds.empty() && begin == holds.back().to) {
      holds.back().to = end;
    } else {
      holds.push_back({begin, end});
    }
    ask = end + draw(plan.think);
  }
}

LoadPlan random_plan(Nanos interval, Random& random) {
  LoadPlan plan;
  const double duty = real_in(random, 0.05, 0.95);
  plan.exponential = chance(random, 0.5);
  if (chance(random, 0.25)) {
    plan.hold = std::max<Nanos>(static_cast<Nanos>(duty * static_cast<double>(interval)), 1);
    plan.think = interval - plan.hold;
    return plan;
  }
  plan.threads = static_cast<int>(integer_in(random, 1, 4));
  plan.hold = log_uniform_in(random, 5'000, 50'000'000);
  plan.think =
      static_cast<Nanos>(static_cast<double>(plan.hold) * plan.threads * (1 - duty) / duty);
  return plan;
}

}  // namespace gilknocker
