#include <thread>

#include "check.hpp"
#include "gilknocker/sync.hpp"

namespace gilknocker {
namespace {

// What two threads share here.
struct Shared {
  Mutex mutex;
  CondVar changed;
  int turn GILKNOCKER_GUARDED_BY(mutex) = 0;
};

TEST(mutex_is_held_by_one_thread_at_a_time) {
  Shared shared;
  const auto count = [&] {
    for (int i = 0; i < 20'000; ++i) {
      MutexLock lock(shared.mutex);
      ++shared.turn;
    }
  };
  std::thread other(count);
  count();
  other.join();
  MutexLock lock(shared.mutex);
  CHECK_EQ(shared.turn, 40'000);
}

TEST(mutex_try_lock_tells_whether_it_locked) {
  Mutex mutex;
  const bool first = mutex.try_lock();
  CHECK(first);
  std::thread([&] {
    const bool second = mutex.try_lock();
    CHECK(!second);
    if (second) mutex.unlock();
  }).join();
  if (first) mutex.unlock();
  const bool again = mutex.try_lock();
  CHECK(again);
  if (again) mutex.unlock();
}

TEST(cond_var_hands_over_between_threads) {
  Shared shared;
  const auto play = [&](int mine) {
    for (int i = 0; i < 500; ++i) {
      MutexLock lock(shared.mutex);
      while (shared.turn % 2 != mine) shared.changed.wait_until(shared.mutex, kNever);
      ++shared.turn;
      shared.changed.notify_all();
    }
  };
  std::thread other(play, 1);
  play(0);
  other.join();
  MutexLock lock(shared.mutex);
  CHECK_EQ(shared.turn, 1'000);
}

TEST(cond_var_waits_until_the_deadline_and_not_beyond) {
  const SystemClock clock;
  Shared shared;
  MutexLock lock(shared.mutex);
  for (const Nanos wait : {0, 1'500'000, 20'000'000}) {
    const Nanos deadline = clock.now() + wait;
    int returns = 0;
    for (; clock.now() < deadline; ++returns) shared.changed.wait_until(shared.mutex, deadline);
    CHECK(returns < 10);                             // on another clock it would not wait at all
    CHECK(clock.now() < deadline + 10'000'000'000);  // how late it returns is the machine's
  }
  shared.changed.wait_until(shared.mutex, 0);  // long ago
}

}  // namespace
}  // namespace gilknocker
