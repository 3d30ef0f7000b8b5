#include "gilknocker/count_keeper.hpp"

#include <algorithm>

namespace gilknocker {

void CountKeeper::has() {
  if (source_.own_takes() == own_takes_ && counting_->is_on()) {
    blind_ = true;
    source_.distrust();
    counting_->turn_off("somebody else has redirected the interpreter's pthread_cond_signal");
  }
  counting_->tidy();
  if (wish_ == Wish::kOff) {
    ledger_.try_count();  // all that was seen
    counting_->turn_off("the GIL is handed over too often: see max_overhead");
  } else if (wish_ == Wish::kOn && !blind_) {
    counting_->turn_on();
  }
  wish_ = Wish::kAsItIs;
}

void CountKeeper::gave_back(Nanos now) {
  judge(now);
  const bool counts = ledger_.counts();
  if (counted_ && !counts) looks_are_needed_();
  counted_ = counts;
}

void CountKeeper::judge(Nanos now) {
  const CountedTime time = ledger_.count();
  const Nanos counted = time.counted() - counted_until_;
  if (counted < 0) {  // a reset
    counted_until_ = time.counted();
    takes_until_ = time.takes();
    return;
  }
  if (now >= again_at_) {
    again_at_ = kNever;
    wish_ = Wish::kOn;
  }
  if (!time.counts() || counted < kLeast) return;
  const auto cost = static_cast<double>((time.takes() - takes_until_) * source_.cost());
  counted_until_ = time.counted();
  takes_until_ = time.takes();
  if (cost <= budget_ * static_cast<double>(counted)) {
    pause_ = std::max(pause_ / 2, kFirstPause);
    return;
  }
  wish_ = Wish::kOff;
  again_at_ = now + pause_;
  pause_ = std::min(2 * pause_, kLongestPause);
}

}  // namespace gilknocker
