// Whether one meter goes on counting: asked at each of its knocks, which has the GIL and so can
// turn it on and off.
//
// Counting costs something at each hand-over of the GIL, looks so much a second: beyond a budget,
// looks are cheaper. Then it looks, and tries again after a second, two, four and so on, for while
// nothing is counted nobody knows how often the GIL is handed over. And a knock that the hooks did
// not see shows that somebody has put other pointers in their place: from then on it looks.
//
// Thread safety: belongs to the knocker's thread; `counting` is guarded by the GIL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "gilknocker/held_source.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class CountKeeper {
 public:
  // `budget`: the share of time that counting may cost. `looks_are_needed` is called when holds are
  // counted no more.
  CountKeeper(HeldSource& source, std::shared_ptr<Counting> counting, Ledger& ledger, double budget,
              std::function<void()> looks_are_needed)
      : source_(source),
        counting_(std::move(counting)),
        ledger_(ledger),
        budget_(budget),
        looks_are_needed_(std::move(looks_are_needed)) {}

  // Just before a knock; when it has the GIL; and when it has given it back.
  void asks() noexcept { own_takes_ = source_.own_takes(); }
  void has();
  void gave_back(Nanos now);

 private:
  enum class Wish : unsigned char { kAsItIs, kOn, kOff };
  void judge(Nanos now);

  static constexpr Nanos kFirstPause = 1'000'000'000;
  static constexpr Nanos kLongestPause = 64'000'000'000;
  static constexpr Nanos kLeast = 5'000'000;  // of counted time, to say how often

  HeldSource& source_;
  const std::shared_ptr<Counting> counting_;
  Ledger& ledger_;
  const double budget_;
  const std::function<void()> looks_are_needed_;
  std::uint64_t own_takes_ = 0;
  bool counted_ = true;
  bool blind_ = false;
  Wish wish_ = Wish::kAsItIs;
  // The last time that was judged.
  Nanos counted_until_ = 0;
  std::int64_t takes_until_ = 0;
  Nanos pause_ = kFirstPause;
  Nanos again_at_ = kNever;
};

}  // namespace gilknocker
