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

class BlockingGil::Seat final : public GilSeat {
 public:
  explicit Seat(BlockingGil& gil) : gil_(gil) {
    ++gil_.seats_opened_;
    ++gil_.seats_open_;
  }

  ~Seat() override {
    --gil_.seats_open_;
    CHECK(left_ || ended_by_unwind_);
    CHECK(!holds_);
  }

  void acquire() override { acquire_and_tell(); }

  std::optional<bool> acquire_and_tell() override {
    check_mine();
    CHECK(!holds_);
    CHECK(!cleared_);
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
    CHECK(!cleared_);
    left_ = true;
    give_back();
  }

  void clear() override {
    CHECK(gil_.held_by_caller());
    CHECK(std::this_thread::get_id() != owner_);
    CHECK(!in_use_);
    CHECK(!cleared_);
    CHECK(!left_);
    cleared_ = true;
  }

  void dispose() override {
    check_mine();
    CHECK(cleared_);
    CHECK(!in_use_);
    std::this_thread::sleep_for(gil_.dispose_takes_.load());
    left_ = true;
  }

 private:
  void check_mine() {
    CHECK(std::this_thread::get_id() == owner_);
    CHECK(!left_);
  }
  void give_back() {
    holds_ = false;
    in_use_ = false;
    gil_.unlock();
  }

  BlockingGil& gil_;
  const std::thread::id owner_ = std::this_thread::get_id();
  bool in_use_ = false;  // from asking for the GIL to having given it back
  bool holds_ = false;
  bool cleared_ = false;
  bool left_ = false;
  bool ended_by_unwind_ = false;
};

BlockingGil::~BlockingGil() {
  CHECK_EQ(waiting_, 0);
  CHECK_EQ(seats_open_, 0);
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

std::unique_ptr<GilSeat> BlockingGil::open_seat() {
  if (refuses_) return nullptr;
  return std::make_unique<Seat>(*this);
}

}  // namespace gilknocker
