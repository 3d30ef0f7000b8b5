#include "gilknocker/counted_holders.hpp"

#include <algorithm>

namespace gilknocker {
namespace {

double between(Cycles from, Cycles to) noexcept {
  // Signed: another CPU's counter may have been a little behind.
  return static_cast<double>(static_cast<std::int64_t>(to - from));
}

}  // namespace

void CountedHolders::move_to(const std::vector<HolderReading>& now, double nanos_per_cycle) {
  if (now.empty()) return;  // nobody has counted yet
  ++turn_;
  for (const HolderReading& one : now) {
    if (one.id.serial == 0) continue;
    Entry& entry = entries_[{one.id.serial, one.interpreter}];
    entry.holder.id = one.id;
    entry.holder.name = one.name;
    entry.held += between(entry.seen, one.held) * nanos_per_cycle;
    entry.seen = one.held;
    entry.turn = turn_;
  }
  // Who was folded went to the others with all that it had: what of that was seen before is no
  // news.
  const Cycles others = now.back().held;
  double news = between(others_.seen, others);
  others_.seen = others;
  for (auto one = entries_.begin(); one != entries_.end();) {
    if (one->second.turn == turn_) {
      ++one;
      continue;
    }
    news -= static_cast<double>(one->second.seen);
    others_.held += one->second.held;
    one = entries_.erase(one);
  }
  others_.held += news * nanos_per_cycle;
}

void CountedHolders::clear() noexcept {
  for (auto& [key, entry] : entries_) entry.held = 0;
  others_.held = 0;
}

std::vector<CountedHolder> CountedHolders::all() const {
  std::vector<CountedHolder> found;
  found.reserve(entries_.size() + 1);
  for (const auto& [key, entry] : entries_) {
    if (entry.held < 1) continue;
    found.push_back(entry.holder);
    found.back().held = static_cast<Nanos>(entry.held);
  }
  CountedHolder others;
  others.held = std::max<Nanos>(static_cast<Nanos>(others_.held), 0);
  if (found.size() > kMost) {
    const auto end = found.begin() + kMost;
    std::nth_element(
        found.begin(), end, found.end(),
        [](const CountedHolder& a, const CountedHolder& b) { return a.held > b.held; });
    for (auto one = end; one != found.end(); ++one) others.held += one->held;
    found.erase(end, found.end());
  }
  if (others.held != 0) found.push_back(others);
  return found;
}

}  // namespace gilknocker
