#include "simulation.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace gilknocker {
namespace {

Load make_thefts(const Disturbance& disturbance, Nanos start, Nanos end, Random& random) {
  std::vector<Hold> thefts;
  if (disturbance.stolen > 0) {
    Nanos at = start;
    while (at < end) {
      const Nanos length = log_uniform_in(random, 1'000, disturbance.longest_theft);
      const double ours =
          static_cast<double>(length) * (1 - disturbance.stolen) / disturbance.stolen;
      at += 1 + exponential(random, ours);
      thefts.push_back({at, at + length});
      at += length;
    }
  }
  return Load(std::move(thefts));
}

}  // namespace

class Simulation::FakeThreadState final : public OwnThreadState {
 public:
  explicit FakeThreadState(Simulation& simulation) : simulation_(simulation) {}

  bool occupy() override { return true; }
  void acquire() override { simulation_.acquire(); }
  std::optional<bool> acquire_and_tell() override {
    const bool waited = simulation_.acquire();
    if (simulation_.disturbance_.cannot_tell) return std::nullopt;
    return waited;
  }
  void release() override { simulation_.release(); }
  void leave() override { simulation_.release(); }
  void close() override {}

 private:
  Simulation& simulation_;
};

class Simulation::FakeGil final : public Gil {
 public:
  explicit FakeGil(Simulation& simulation) : simulation_(simulation) {}

  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override { return simulation_.look(); }
  std::unique_ptr<OwnThreadState> open_state() override {
    return std::make_unique<FakeThreadState>(simulation_);
  }

 private:
  Simulation& simulation_;
};

Simulation::Simulation(const Load& load, Nanos start, Nanos end, Disturbance disturbance,
                       Random& random)
    : load_(load),
      disturbance_(disturbance),
      random_(random),
      clock_(start),
      thefts_(make_thefts(disturbance, start, end, random)),
      gil_(std::make_unique<FakeGil>(*this)) {}

Simulation::~Simulation() = default;

Gil& Simulation::gil() noexcept { return *gil_; }

Nanos Simulation::wakes_at(const Task* task) {
  if (task == nullptr || task->due() == kNever) return kNever;
  Nanos at = std::max(task->due(), clock_.now());
  if (chance(random_, disturbance_.late_wakes)) at += exponential(random_, disturbance_.lateness);
  return thefts_.free_from(at);
}

void Simulation::step_to(Nanos instant) {
  if (observe) {
    for (int i = 0; i < 2 && clock_.now() < instant; ++i) {
      clock_.set(integer_in(random_, clock_.now(), instant));
      observe();
    }
  }
  clock_.set(std::max(instant, clock_.now()));
}

void Simulation::pass_until(Nanos instant) {
  while (watcher_wakes_at_ <= instant) {
    step_to(watcher_wakes_at_);
    watcher_wakes_.push_back({watcher_->due(), clock_.now()});
    watcher_->wake(clock_.now());
    watcher_wakes_at_ = wakes_at(watcher_);
  }
  step_to(instant);
}

void Simulation::run(Task* watcher, Task* knocker, Nanos end) {
  watcher_ = watcher;
  watcher_wakes_at_ = wakes_at(watcher);
  for (Nanos at = wakes_at(knocker); at < end; at = wakes_at(knocker)) {
    pass_until(at);
    knocker_wakes_.push_back({knocker->due(), clock_.now()});
    knocker->wake(clock_.now());
    if (observe) observe();
  }
  pass_until(end);
}

bool Simulation::acquire() {
  const Nanos asked = clock_.now();
  if (chance(random_, disturbance_.preempted)) {
    pass_until(asked + log_uniform_in(random_, 1'000, disturbance_.longest_theft));
  }
  bool waited = false;
  while (load_.held_at(clock_.now())) {
    waited = true;
    pass_until(thefts_.free_from(load_.free_from(clock_.now()) + disturbance_.wake_latency));
  }
  own_ = true;
  knocks_.push_back({asked, clock_.now(), waited});
  return waited;
}

void Simulation::release() {
  pass_until(clock_.now() + disturbance_.own_hold);
  own_ = false;
}

Look Simulation::look() const noexcept {
  const Look seen = !enabled_                     ? Look::kDisabled
                    : own_                        ? Look::kOwn
                    : load_.held_at(clock_.now()) ? Look::kHeld
                                                  : Look::kFree;
  ++looks_.ticks;
  looks_.held += seen == Look::kHeld;
  looks_.own += seen == Look::kOwn;
  looks_.disabled += seen == Look::kDisabled;
  return seen;
}

Nanos Simulation::ours_between(Nanos from, Nanos to) const noexcept {
  return to - from - thefts_.held_between(from, to);
}

double Simulation::held_fraction_between(Nanos from, Nanos to) const noexcept {
  Nanos held = 0;
  Nanos since = from;
  for (const Hold& theft : thefts_.holds()) {
    if (theft.from >= to) break;
    if (theft.to <= since) continue;
    held += load_.held_between(since, std::max(theft.from, since));
    since = theft.to;
  }
  if (since < to) held += load_.held_between(since, to);
  return static_cast<double>(held) / static_cast<double>(ours_between(from, to));
}

}  // namespace gilknocker
