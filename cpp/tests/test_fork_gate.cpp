#include <atomic>
#include <thread>
#include <vector>

#include "check.hpp"
#include "gilknocker/fork_gate.hpp"
#include "nothing_left.hpp"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace gilknocker {
namespace {

const SystemClock the_clock;

constexpr Nanos kMillisecond = 1'000'000;
constexpr Nanos kPatience = 20'000 * kMillisecond;

// Threads that come and go. REQUIRES: the gate is open at first.
class Visitors {
 public:
  explicit Visitors(ForkGate& gate, int count = 3) : gate_(gate) {
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { visit(); });
    CHECK(eventually([this] { return visits_ > 0; }));  // on a busy machine not yet
  }
  ~Visitors() {
    enough_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

  int inside() const { return inside_; }
  int visits() const { return visits_; }

 private:
  void visit() {
    while (!enough_) {
      gate_.enter();
      ++inside_;
      ++visits_;
      --inside_;
      gate_.exit();
    }
  }

  ForkGate& gate_;
  std::atomic<int> inside_{0};
  std::atomic<int> visits_{0};
  std::atomic<bool> enough_{false};
  std::vector<std::thread> threads_;
};

TEST(nobody_is_inside_a_closed_gate) {
  ForkGate gate(the_clock);
  Visitors visitors(gate);
  for (int i = 0; i < 200; ++i) {
    CHECK(gate.close(kPatience));
    CHECK(gate.is_closed());
    const int before = visitors.visits();
    CHECK_EQ(visitors.inside(), 0);
    std::this_thread::yield();
    CHECK_EQ(visitors.visits(), before);
    gate.reopen();
    CHECK(eventually([&] { return visitors.visits() > before; }));
  }
}

TEST(gate_does_not_wait_for_ever_for_who_is_inside) {
  ForkGate gate(the_clock);
  gate.enter();
  const Nanos before = the_clock.now();
  CHECK(!gate.close(5 * kMillisecond));
  CHECK(the_clock.now() - before >= 5 * kMillisecond);
  CHECK(gate.is_closed());
  gate.reopen();
  gate.exit();
  CHECK(gate.close(0));
  gate.reopen();
}

TEST(gate_is_closed_by_one_thread_at_a_time) {
  ForkGate gate(the_clock);
  std::atomic<int> closers{0};
  std::atomic<int> overlaps{0};
  std::vector<std::thread> threads;
  Visitors visitors(gate);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 50; ++j) {
        gate.close(kPatience);
        overlaps += ++closers > 1;
        --closers;
        gate.reopen();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_EQ(overlaps, 0);
}

#if !defined(_WIN32)
TEST(gate_works_in_the_child_of_a_fork) {
  ForkGate gate(the_clock);
  gate.enter();  // somebody who is not in the child
  {
    Visitors visitors(gate);
    for (int i = 0; i < 50; ++i) {
      gate.close(0);
      const pid_t child = fork();
      if (child == 0) {
        gate.reopen_in_child();
        gate.enter();
        gate.exit();
        const bool empty = gate.close(0);
        gate.reopen();
        _exit(empty && !gate.is_closed() ? 0 : 1);
      }
      gate.reopen();
      int status = -1;
      CHECK_EQ(waitpid(child, &status, 0), child);
      CHECK_EQ(status, 0);
    }
  }
  gate.exit();
}
#endif

}  // namespace
}  // namespace gilknocker
