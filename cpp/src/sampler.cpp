#include "gilknocker/sampler.hpp"

#include <random>
#include <utility>

#include "gilknocker/count_keeper.hpp"
#include "gilknocker/process.hpp"
#include "gilknocker/watcher.hpp"

namespace gilknocker {
namespace {

std::int64_t next_id() noexcept {
  static std::atomic<std::int64_t> last{0};  // relaxed: only uniqueness matters
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

std::uint64_t seed() {
  std::random_device source;
  return (std::uint64_t{source()} << 32) | source();
}

Nanos deadline_after(const Clock& clock, Nanos timeout) noexcept {
  const Nanos now = clock.now();
  return timeout > kNever - now ? kNever : now + timeout;
}

}  // namespace

// What lies between a start and a stop. Its threads keep it alive, so that one that is abandoned
// finds the ledger and its own worker for as long as it lives.
struct Sampler::Run {
  std::shared_ptr<Ledger> ledger;
  std::shared_ptr<HeldStacks> stacks;
  std::shared_ptr<StallWatch> stalls;
  std::unique_ptr<Worker> watcher;  // null where looks are not possible
  std::unique_ptr<Worker> knocker;
  Knocker* knocks = nullptr;  // the knocker's task
};

Sampler::Sampler(Gil& gil, const Clock& clock, SamplerPlan plan)
    : gil_(gil),
      clock_(clock),
      plan_(plan),
      as_look_{!(plan.look && gil.can_look()), plan.contended_after, plan.interval},
      id_(next_id()),
      counting_(std::make_shared<Counting>(held_source())),
      ledger_(std::make_shared<Ledger>(clock, plan.log_capacity, as_look_, held_source())),
      stacks_(plan.stacks == nullptr || as_look_.active
                  ? nullptr
                  : std::make_shared<HeldStacks>(gil, clock, *ledger_, process::id(), *plan.stacks,
                                                 plan.waiters)),
      memory_(process::id()),
      stalls_(plan.stalls.longer_than == 0 || as_look_.active
                  ? nullptr
                  : std::make_shared<StallWatch>(
                        gil, clock, *ledger_, surroundings_, memory_, plan.stalls,
                        std::make_unique<DescriptorOutput>(plan.stalls.output))) {}

Sampler::~Sampler() = default;

std::shared_ptr<Sampler::Run> Sampler::make_run(std::int64_t number) const {
  auto run = std::make_shared<Run>();
  run->ledger = ledger_;
  run->stacks = stacks_;
  run->stalls = stalls_;
  const Nanos base = clock_.now();
  if (looks()) {
    const SchedulePlan ticks{plan_.interval, 0, 0, plan_.dense_start};
    run->watcher = std::make_unique<Worker>(
        clock_, std::make_unique<Watcher>(gil_, clock_, *ledger_, TickSchedule(ticks, base, seed()),
                                          plan_.late_after, stacks_.get(), stalls_.get()));
  }
  const SchedulePlan knocks = looks() ? plan_.knocks : SchedulePlan{plan_.interval, 0, 0, 0};
  auto task = std::make_unique<Knocker>(gil_, clock_, *ledger_, number,
                                        TickSchedule(knocks, base, seed()), as_look_);
  run->knocks = task.get();
  if (HeldSource* const held = held_source()) {
    Worker* const watcher = run->watcher.get();
    task->keep(std::make_unique<CountKeeper>(*held, counting_, *ledger_, plan_.budget, [watcher] {
      if (watcher != nullptr) watcher->poke();
    }));
  }
  run->knocker = std::make_unique<Worker>(clock_, std::move(task));
  return run;
}

void Sampler::start(std::unique_ptr<OwnThreadState>& own_state) {
  MutexLock lock(lifecycle_);
  if (run_) return;
  std::shared_ptr<Run> run;
  const std::int64_t number = ledger_->begin_run();
  try {
    run = make_run(number);
    if (run->watcher) run->watcher->start("gilknock-watch", run);
    run->knocks->give(std::move(own_state));
    run->knocker->start("gilknock-knock", run);
  } catch (...) {  // no thread to be had, or no memory
    if (run && run->knocks != nullptr && !own_state) own_state = run->knocks->take_back();
    if (run && run->watcher && run->watcher->started()) {
      run->watcher->request_stop();
      run->watcher->join();
    }
    ledger_->end_run();
    throw;
  }
  set_watching(run->watcher.get());
  run_ = std::move(run);
  running_.store(true, std::memory_order_relaxed);
}

void Sampler::claim_state() {
  if (!lifecycle_.try_lock()) return;  // another thread starts or stops: it does what is needed
  // Closing the knocker's state under our lock lets no other code run: nothing in it was
  // made by Python code, for none ever ran on that thread.
  if (run_) run_->knocks->claim();
  lifecycle_.unlock();
}

bool Sampler::end_knocker(Run& run, Nanos deadline) {
  // Without its state it needs the GIL no more, and ends soon.
  if (!run.knocker->wait_ended(run.knocks->is_claimed() ? kNever : deadline)) {
    ledger_->abandon_knock();
    run.knocker->detach();
    return false;
  }
  run.knocker->join();
  return true;
}

bool Sampler::stop(Nanos timeout) {
  MutexLock lock(lifecycle_);
  if (!run_) return true;
  const Nanos deadline = deadline_after(clock_, timeout);
  const auto run = std::exchange(run_, nullptr);
  run->knocks->announce_stop();
  run->knocker->request_stop();
  set_watching(nullptr);
  if (run->watcher) {
    run->watcher->request_stop();
    run->watcher->join();
  }
  ledger_->end_run();  // here, not after the wait for a stuck knock: nobody looks any more
  running_.store(false, std::memory_order_relaxed);
  return end_knocker(*run, deadline);
}

void Sampler::reset() {
  ledger_->reset();
  if (stacks_) stacks_->reset();
  wake_watcher();
}

bool Sampler::try_reset() {
  return stacks_ == nullptr && ledger_->try_reset() && try_wake_watcher();
}

void Sampler::set_watching(Worker* watcher) {
  MutexLock lock(watching_);
  watcher_ = watcher;
}

// For up to an interval, where it is to look densely from now on.
bool Sampler::watcher_may_sleep() const noexcept {
  return plan_.dense_start != 0 && !ledger_->counts();
}

void Sampler::wake_watcher() {
  if (!watcher_may_sleep()) return;
  MutexLock lock(watching_);
  if (watcher_ != nullptr) watcher_->poke();
}

bool Sampler::try_wake_watcher() {
  if (!watcher_may_sleep()) return true;
  if (!watching_.try_lock()) return false;
  const bool woken = watcher_ == nullptr || watcher_->try_poke();
  watching_.unlock();
  return woken;
}

}  // namespace gilknocker
