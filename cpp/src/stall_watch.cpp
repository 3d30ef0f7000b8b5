#include "gilknocker/stall_watch.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "gilknocker/line_table.hpp"
#include "gilknocker/process.hpp"

namespace gilknocker {

StallWatch::StallWatch(const Gil& gil, const Clock& clock, const Ledger& ledger,
                       const Surroundings& surroundings, const Memory& memory,
                       const StallPlan& plan, std::unique_ptr<StallOutput> output)
    : gil_(gil),
      clock_(clock),
      ledger_(ledger),
      surroundings_(surroundings),
      pid_(process::id()),
      plan_(plan),
      output_(std::move(output)),
      holder_(plan.stacks ? std::make_unique<HolderStack>(gil, memory, *plan.stacks) : nullptr),
      names_(plan.stacks ? std::make_unique<CodeReader>(memory, *plan.stacks) : nullptr) {}

void StallWatch::looked(Nanos at, Look look) noexcept {
  const std::optional<HolderMark> mark = look == Look::kHeld ? gil_.mark() : std::nullopt;
  const Nanos passed = std::min(at - last_look_, kLongestGap);
  last_look_ = at;
  if (mark && mark == mark_) {
    go_on(at, passed);
    return;
  }
  if (stalled_) finish(at);
  begin_hold(mark, at);
}

void StallWatch::rest() noexcept {
  if (stalled_) finish(last_look_);
  mark_.reset();
}

void StallWatch::begin_hold(const std::optional<HolderMark>& mark, Nanos at) noexcept {
  mark_ = mark;
  stall_.since = at;
  watched_ = 0;
  asked_ = 0;
  waiting_size_ = 0;
  waiters_.reset();
  scans_ = 0;
}

void StallWatch::go_on(Nanos at, Nanos passed) noexcept {
  watched_ += passed;
  if (ledger_.knock_waits() || gil_.asked_to_let_go(*mark_)) asked_ += passed;
  stall_.held = at - stall_.since;
  if (stalled_) {
    if (stall_.held < next_) return;
    while (next_ <= stall_.held) next_ *= 2;
    note(at);
    if (told_) tell(StallEvent::kAgain);
    return;
  }
  // Who waits wakes up now and then to ask again, and is seen at some other moment.
  if (scans_ < kScans && asked_ != 0 && watched_ >= (scans_ + 1) * plan_.longer_than / kParts) {
    if (scans_++ == 0) begin_cpu(at);
    note_waiting(at);
  }
  // Asked for so long, pure Python has given way: also where it had no CPU to do so at first.
  if (watched_ < plan_.longer_than || asked_ < plan_.longer_than / kParts) return;
  begin_stall();
  told_ = allowed(at);
  note(at);
  if (told_) tell(StallEvent::kBegin);
}

void StallWatch::begin_stall() noexcept {
  stalled_ = true;
  written_ = false;
  stall_.number = ++number_;
  stall_.since_unix = clock_.unix_time() - (clock_.now() - stall_.since);
  stall_.collecting.reset();
  stall_.stack_known = false;
  stall_.depth = stall_.frames = 0;
  next_ = kSecond;
  while (next_ <= stall_.held) next_ *= 2;
  stall_.thread = gil_.identify(gil_.copy_state(*mark_)).value_or(HolderId{});
  stall_.name = surroundings_.name_of(stall_.thread.ident, stall_.thread.native_id);
}

// What is written of a stall costs a share of a minute: as many as that may follow each other.
bool StallWatch::allowed(Nanos at) noexcept {
  spent_until_ = std::max(spent_until_, at) + kPerAllowed;
  if (spent_until_ <= at + 60 * kSecond) return true;
  spent_until_ -= kPerAllowed;
  return false;
}

void StallWatch::note(Nanos at) noexcept {
  note_work(at);
  note_waiting(at);
  note_stack();
}

void StallWatch::tell(StallEvent event) noexcept {
  const std::string_view words = plan_.format == StallFormat::kJson
                                     ? text_.json(stall_, event, pid_, unwritten_)
                                     : text_.text(stall_, event, pid_, unwritten_);
  if (!output_->write(words)) return;
  written_ = true;
  unwritten_ = 0;
}

void StallWatch::begin_cpu(Nanos at) noexcept {
  const StateCopy state = gil_.copy_state(*mark_);
  const std::int64_t native_id = gil_.identify(state).value_or(HolderId{}).native_id;
  cpu_then_ = native_id == 0 ? std::nullopt : surroundings_.cpu_of(native_id);
  cpu_since_ = at;
}

void StallWatch::note_work(Nanos at) noexcept {
  stall_.cpu.reset();
  if (const std::int64_t native_id = stall_.thread.native_id; native_id != 0 && cpu_then_) {
    if (const auto cpu = surroundings_.cpu_of(native_id)) stall_.cpu = *cpu - *cpu_then_;
  }
  stall_.cpu_over = at - cpu_since_;
  if (const auto generation = surroundings_.collecting()) stall_.collecting = generation;
}

// Nobody has got the GIL meanwhile, so that who waited before waits still.
void StallWatch::note_waiting(Nanos at) noexcept {
  std::array<std::int64_t, Stall::kMostWaiting> found{};
  if (const auto count = surroundings_.waiters(gil_, ledger_.knock_waits(), found)) {
    for (std::size_t i = 0; i < std::min(*count, found.size()); ++i) {
      const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(waiting_size_);
      const bool known = std::any_of(waiting_.begin(), end,
                                     [&](const Waiting& one) { return one.native_id == found[i]; });
      if (!known && waiting_size_ < waiting_.size()) waiting_[waiting_size_++] = {found[i], at};
    }
    waiters_ = std::max({waiters_.value_or(0), *count, waiting_size_});
  }
  if (!stalled_) return;
  stall_.waiters = waiters_;
  for (std::size_t i = 0; i < waiting_size_; ++i) {
    const Waiting& one = waiting_[i];
    stall_.waiting[i] = {one.native_id, surroundings_.name_of(0, one.native_id), at - one.since};
  }
  stall_.knock_waited = asked_;
}

// What was read of this stall before stays, where nothing can be read: it may be over just now.
void StallWatch::note_stack() noexcept {
  if (!holder_) return;
  HolderMark mark;
  if (holder_->look(&raw_, &mark) != StackLook::kWhole || mark != mark_) return;
  stall_.stack_known = true;
  stall_.depth = raw_.size;
  stall_.cut = raw_.cut;
  stall_.frames = std::min(raw_.size, Stall::kMostFrames);
  for (std::size_t i = 0; i < stall_.frames; ++i) {
    CodeIdentity identity;
    FrameName& name = stall_.names[i];
    if (names_->name(raw_.frames[i], &name, &identity)) continue;
    name.function.bytes[0] = name.file.bytes[0] = '?';
    name.function.size = name.file.size = 1;
    name.line = kNoLine;
  }
}

void StallWatch::finish(Nanos at) noexcept {
  stalled_ = false;
  stall_.held = at - stall_.since;
  if (told_ && written_) tell(StallEvent::kEnd);
  if (!written_) ++unwritten_;
  keep();
}

void StallWatch::keep() noexcept {
  const std::string_view json = text_.json(stall_, StallEvent::kEnd, pid_, 0);
  MutexLock lock(mutex_);
  Finished& place = ring_[static_cast<std::size_t>(stall_.number) % kMostKept];
  place.number = stall_.number;
  place.size = json.size();
  std::memcpy(place.json.data(), json.data(), json.size());
  newest_ = stall_.number;
  kept_ = std::min(kept_ + 1, kMostKept);
  changed_.notify_all();
}

std::vector<std::string> StallWatch::finished(std::int64_t after) const {
  std::vector<std::string> found;
  MutexLock lock(mutex_);
  const std::int64_t oldest = newest_ - static_cast<std::int64_t>(kept_) + 1;
  for (std::int64_t number = std::max(after + 1, oldest); number <= newest_; ++number) {
    const Finished& place = ring_[static_cast<std::size_t>(number) % kMostKept];
    found.emplace_back(place.json.data(), place.size);
  }
  return found;
}

bool StallWatch::wait_finished(std::int64_t after) noexcept {
  MutexLock lock(mutex_);
  while (newest_ <= after && !interrupted_) changed_.wait_until(mutex_, kNever);
  return newest_ > after && !interrupted_;
}

void StallWatch::interrupt(bool on) noexcept {
  MutexLock lock(mutex_);
  interrupted_ = on;
  changed_.notify_all();
}

}  // namespace gilknocker
