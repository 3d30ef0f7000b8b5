#include "blocking_gil.hpp"

#if defined(_WIN32)
#include <windows.h>
#else
#include <pthread.h>
#endif

#include "check.hpp"

namespace gilknocker {

void end_this_thread() {
#if defined(_WIN32)
  ExitThread(0);
#else
  pthread_exit(nullptr);
#endif
}

class BlockingGil::State final : public OwnThreadState {
 public:
  explicit State(BlockingGil& gil) : gil_(gil) { ++gil_.states_open_; }

  ~State() override {
    if (!closed_) --gil_.states_open_;
    CHECK(gone_ || ended_by_unwind_);
    CHECK(!holds_);
  }

  bool occupy() override {
    CHECK(!gone_);
    CHECK(owner_ == std::thread::id());
    owner_ = std::this_thread::get_id();
    gone_ = gil_.refuses_threads_;
    if (!gone_) ++gil_.states_occupied_;
    return !gone_;
  }

  void acquire() override { acquire_and_tell(); }

  std::optional<bool> acquire_and_tell() override {
    check_mine();
    CHECK(!holds_);
    in_use_ = true;
    if (gil_.finalizing_) {
      ended_by_unwind_ = true;
      end_this_thread();
    }
    const bool waited = gil_.lock(Look::kOwn);
    ++gil_.knocks_;
    holds_ = true;
    return waited;
  }

  void release() override {
    check_mine();
    CHECK(holds_);
    give_back();
  }

  void leave() override {
    check_mine();
    CHECK(holds_);
    gone_ = true;
    give_back();
  }

  void close() override {
    CHECK(gil_.held_by_caller());
    CHECK(std::this_thread::get_id() != owner_);
    CHECK(gil_.closes_ || owner_ == std::thread::id());
    CHECK(!in_use_);
    CHECK(!gone_);
    gone_ = closed_ = true;
    --gil_.states_open_;
  }

 private:
  void check_mine() {
    CHECK(std::this_thread::get_id() == owner_);
    CHECK(!gone_);
  }
  void give_back() {
    holds_ = false;
    in_use_ = false;
    gil_.unlock();
  }

  BlockingGil& gil_;
  std::thread::id owner_;
  bool in_use_ = false;  // from asking for the GIL to having given it back
  bool holds_ = false;
  bool gone_ = false;
  bool closed_ = false;  // counted as open until it is closed, or its memory is gone
  bool ended_by_unwind_ = false;
};

BlockingGil::~BlockingGil() {
  CHECK_EQ(waiting_, 0);
  CHECK_EQ(states_open_, 0);
  CHECK(state_ == Look::kFree);
}

bool BlockingGil::lock(Look as) {
  MutexLock guard(mutex_);
  const bool waited = state_ != Look::kFree;
  ++waiting_;
  while (state_ != Look::kFree) freed_.wait_until(mutex_, kNever);
  --waiting_;
  state_ = as;
  holder_ = std::this_thread::get_id();
  return waited;
}

void BlockingGil::unlock() {
  MutexLock guard(mutex_);
  CHECK(holder_ == std::this_thread::get_id());
  holder_ = {};
  state_ = Look::kFree;
  freed_.notify_all();
}

bool BlockingGil::held_by_caller() {
  MutexLock guard(mutex_);
  return holder_ == std::this_thread::get_id();
}

void BlockingGil::take() { lock(Look::kHeld); }
void BlockingGil::give() { unlock(); }
Look BlockingGil::look() const noexcept { return state_; }

std::unique_ptr<OwnThreadState> BlockingGil::open_state() {
  CHECK(held_by_caller());
  if (refuses_) return nullptr;
  return std::make_unique<State>(*this);
}

std::unique_ptr<OwnThreadState> BlockingGil::take_and_open_state() {
  if (held_by_caller()) return open_state();
  const Held held(*this);
  return open_state();
}

void BlockingGil::close(const std::unique_ptr<OwnThreadState>& own_state) {
  if (!own_state) return;
  if (held_by_caller()) return own_state->close();
  const Held held(*this);
  own_state->close();
}

void start(Sampler& sampler, BlockingGil& gil) {
  std::unique_ptr<OwnThreadState> own_state = gil.take_and_open_state();
  try {
    sampler.start(own_state);
  } catch (...) {
    gil.close(own_state);
    throw;
  }
  gil.close(own_state);
}

}  // namespace gilknocker
