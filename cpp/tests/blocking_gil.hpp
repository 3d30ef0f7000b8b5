// A GIL for tests with real threads: it blocks for real, and checks that its states are used as
// gil.hpp says they must be.
//
// Thread safety: any thread may call anything; a state's calls are checked, not made safe. The
// members of a state that its owner and a stopper hand over to each other are plain ones on
// purpose: ThreadSanitizer sees a handover that nothing orders.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "gilknocker/gil.hpp"
#include "gilknocker/sampler.hpp"
#include "gilknocker/sync.hpp"

namespace gilknocker {

// As CPython <= 3.13 does with a thread that asks for the GIL too late.
[[noreturn]] void end_this_thread();

class BlockingGil final : public Gil {
 public:
  explicit BlockingGil(bool can_look = true) : can_look_(can_look) {}
  ~BlockingGil() override;  // checks that no thread holds or awaits it, and that no state is open

  // A thread of the program.
  void take();
  void give();

  bool can_look() const noexcept override { return can_look_; }
  Look look() const noexcept override;
  std::unique_ptr<OwnThreadState> open_state() override;
  // With the GIL, whether the caller holds it or not.
  std::unique_ptr<OwnThreadState> take_and_open_state();
  void close(const std::unique_ptr<OwnThreadState>& own_state);  // if there is one

  bool closes_for_others() const noexcept override { return closes_; }
  // From now on a thread has to leave its state itself.
  void keep_others_off_states() { closes_ = false; }
  // From now on open_state() returns null.
  void refuse_states() { refuses_ = true; }
  // From now on nobody can occupy a state.
  void refuse_threads() { refuses_threads_ = true; }
  // Whether that end unwinds the thread's stack: glibc's does, no other's. The threads that Python
  // ends so are left alone by then, and keep a little memory there.
#if defined(__GLIBC__)
  static constexpr bool kEndUnwinds = true;
#else
  static constexpr bool kEndUnwinds = false;
#endif
  // From now on acquire() ends the thread, as CPython <= 3.13.0 does when it finalizes.
  void finalize() { finalizing_ = true; }

  int waiting() const { return waiting_; }
  int knocks() const { return knocks_; }                    // how often a state got it
  int states_occupied() const { return states_occupied_; }  // ever
  int states_open() const { return states_open_; }

 private:
  class State;
  bool lock(Look as);  // true if it had to wait
  void unlock();
  bool held_by_caller();

  const bool can_look_;
  std::atomic<bool> closes_{true};
  std::atomic<bool> refuses_{false};
  std::atomic<bool> refuses_threads_{false};
  std::atomic<bool> finalizing_{false};
  std::atomic<int> waiting_{0};
  std::atomic<int> knocks_{0};
  std::atomic<int> states_occupied_{0};
  std::atomic<int> states_open_{0};
  std::atomic<Look> state_{Look::kFree};  // written under mutex_, read by look() without
  Mutex mutex_;
  CondVar freed_;
  std::thread::id holder_ GILKNOCKER_GUARDED_BY(mutex_);
};

// As a program starts a sampler: with the GIL when it begins and when it is done.
void start(Sampler& sampler, BlockingGil& gil);

// The program holds the GIL for as long as this lives.
class Held {
 public:
  explicit Held(BlockingGil& gil) : gil_(gil) { gil_.take(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { gil_.give(); }

 private:
  BlockingGil& gil_;
};

}  // namespace gilknocker
