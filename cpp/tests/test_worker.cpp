#if !defined(_WIN32)
#include <pthread.h>
#include <signal.h>
#endif

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "blocking_gil.hpp"
#include "check.hpp"
#include "gilknocker/worker.hpp"
#include "nothing_left.hpp"
#include "thread_limit.hpp"

namespace gilknocker {
namespace {

const SystemClock the_clock;

constexpr Nanos kMillisecond = 1'000'000;

Nanos soon() { return the_clock.now() + 20'000 * kMillisecond; }

// What a task is to do, and what it did. Written by the test before the start and by the thread
// after it; read by the test when the thread has ended, but for the atomics.
struct Script {
  std::function<Nanos()> due = [] { return kNever; };
  std::function<void(Nanos)> on_begin = [](Nanos) {};
  std::function<void(Nanos)> on_wake = [](Nanos) {};
  std::function<void(Nanos)> on_end = [](Nanos) {};
  std::vector<std::string> calls;
  std::atomic<int> wakes{0};
  std::atomic<bool> destroyed{false};
};

class ScriptedTask final : public Task {
 public:
  explicit ScriptedTask(Script& script) : script_(script) {}
  ~ScriptedTask() override { script_.destroyed = true; }

  void begin() override {
    script_.calls.emplace_back("begin");
    script_.on_begin(0);
  }
  Nanos due() const noexcept override { return script_.due(); }
  void wake(Nanos now) override {
    if (script_.calls.back() != "wake") script_.calls.emplace_back("wake");
    ++script_.wakes;
    script_.on_wake(now);
  }
  void end() override {
    script_.calls.emplace_back("end");
    script_.on_end(0);
  }

 private:
  Script& script_;
};

std::shared_ptr<Worker> worker_of(Script& script) {
  return std::make_shared<Worker>(the_clock, std::make_unique<ScriptedTask>(script));
}

void stop(Worker& worker) {
  worker.request_stop();
  REQUIRE(worker.wait_ended(soon()));
  worker.join();
}

TEST(worker_begins_wakes_and_ends_its_task_on_its_own_thread) {
  const NothingLeft nothing_left;
  Script script;
  std::vector<std::thread::id> threads;
  const auto note_thread = [&](Nanos) { threads.push_back(std::this_thread::get_id()); };
  script.on_begin = script.on_wake = script.on_end = note_thread;
  script.due = [] { return the_clock.now(); };
  const auto worker = worker_of(script);
  CHECK(!worker->started());
  worker->start("gilknock-test", worker);
  CHECK(worker->started());
  CHECK(eventually([&] { return script.wakes > 10; }));
  stop(*worker);
  CHECK((script.calls == std::vector<std::string>{"begin", "wake", "end"}));
  for (const std::thread::id thread : threads) {
    CHECK(thread == threads.front());
    CHECK(thread != std::this_thread::get_id());
  }
}

TEST(worker_that_is_poked_asks_its_task_again) {
  const NothingLeft nothing_left;
  Script script;
  std::atomic<int> wanted{0};
  script.due = [&] { return script.wakes < wanted ? 0 : kNever; };
  const auto worker = worker_of(script);
  worker->start("gilknock-test", worker);
  wanted = 1;
  worker->poke();
  CHECK(eventually([&] { return script.wakes == 1; }));
  wanted = 2;
  CHECK(eventually([&] { return worker->try_poke(); }));
  CHECK(eventually([&] { return script.wakes == 2; }));
  stop(*worker);
}

// Keeps who asks it, and so the worker's thread with the worker's mutex, until it is let go.
class StoppedClock final : public Clock {
 public:
  Nanos now() const noexcept override {
    asked = true;
    stopped.wait(true);
    return the_clock.now();
  }
  Nanos unix_time() const noexcept override { return the_clock.unix_time(); }
  Nanos thread_cpu() const noexcept override { return the_clock.thread_cpu(); }

  mutable std::atomic<bool> asked{false};
  std::atomic<bool> stopped{true};
};

TEST(worker_whose_thread_is_at_its_flags_is_not_waited_for) {
  const NothingLeft nothing_left;
  Script script;
  script.due = [] { return kNever - 1; };
  StoppedClock clock;
  const auto worker = std::make_shared<Worker>(clock, std::make_unique<ScriptedTask>(script));
  worker->start("gilknock-test", worker);
  CHECK(eventually([&] { return clock.asked.load(); }));
  CHECK(!worker->try_poke());
  clock.stopped = false;
  clock.stopped.notify_all();
  CHECK(eventually([&] { return worker->try_poke(); }));
  stop(*worker);
}

TEST(worker_wakes_its_task_when_due_and_no_earlier) {
  const NothingLeft nothing_left;
  Script script;
  std::atomic<Nanos> due{the_clock.now() + 3 * kMillisecond};
  script.due = [&] { return due.load(); };
  script.on_wake = [&](Nanos now) {
    CHECK(now >= due);
    CHECK(now <= the_clock.now());
    due = now + kMillisecond;
  };
  const auto worker = worker_of(script);
  worker->start("gilknock-test", worker);
  CHECK(eventually([&] { return script.wakes >= 5; }));
  stop(*worker);
}

TEST(worker_ends_at_once_when_nothing_is_due) {
  const NothingLeft nothing_left;
  for (const Nanos due : {kNever, kNever - 1, the_clock.now() + 3'600'000 * kMillisecond}) {
    Script script;
    script.due = [&] { return due; };
    const auto worker = worker_of(script);
    worker->start("gilknock-test", worker);
    worker->request_stop();
    stop(*worker);  // a second request does no harm
    CHECK((script.calls == std::vector<std::string>{"begin", "end"}));
  }
}

TEST(worker_misses_no_stop_that_races_its_wait) {
  const NothingLeft nothing_left;
  for (int i = 0; i < 300; ++i) {
    Script script;
    const Nanos due = the_clock.now() + i * 1'000;
    script.due = [&] { return script.wakes > 0 ? kNever : due; };
    const auto worker = worker_of(script);
    worker->start("gilknock-test", worker);
    if (i % 2 == 0) std::this_thread::yield();
    stop(*worker);
  }
}

TEST(worker_that_is_busy_is_not_waited_for_beyond_the_deadline) {
  const NothingLeft nothing_left;
  Script script;
  std::atomic<bool> let_go{false};
  script.due = [] { return Nanos{0}; };
  script.on_wake = [&](Nanos) { eventually([&] { return let_go.load(); }); };
  const auto worker = worker_of(script);
  worker->start("gilknock-test", worker);
  CHECK(eventually([&] { return script.wakes == 1; }));
  worker->request_stop();
  CHECK(!worker->wait_ended(0));
  CHECK(!worker->wait_ended(the_clock.now() + 5 * kMillisecond));
  let_go = true;
  stop(*worker);
  CHECK_EQ(script.wakes, 1);
}

TEST(worker_that_is_abandoned_keeps_its_owner_until_it_ends) {
  const NothingLeft nothing_left;
  Script script;
  std::atomic<bool> let_go{false};
  script.due = [] { return Nanos{0}; };
  script.on_wake = [&](Nanos) { eventually([&] { return let_go.load(); }); };
  {
    const auto worker = worker_of(script);
    worker->start("gilknock-test", worker);
    CHECK(eventually([&] { return script.wakes == 1; }));
    worker->request_stop();
    worker->detach();
  }
  CHECK(!script.destroyed);
  let_go = true;
  CHECK(eventually([&] { return script.destroyed.load(); }));
}

TEST(worker_says_that_it_ended_after_a_forced_unwind) {
  if (!BlockingGil::kEndUnwinds) return;
  const NothingLeft nothing_left;
  const auto unwind = [](Nanos) { end_this_thread(); };
  for (auto where : {&Script::on_begin, &Script::on_wake, &Script::on_end}) {
    Script script;
    script.due = [] { return Nanos{0}; };
    script.*where = unwind;
    {
      const auto worker = worker_of(script);
      worker->start("gilknock-test", worker);
      if (where == &Script::on_end) worker->request_stop();
      CHECK(worker->wait_ended(soon()));
      worker->join();
    }
    CHECK(script.destroyed);  // by the thread's own exit, or by the last owner
    CHECK_EQ(script.calls.back() == "end", where == &Script::on_end);
  }
}

#if !defined(_WIN32)  // it has no signals
TEST(worker_thread_has_its_name_and_takes_no_signal) {
  const NothingLeft nothing_left;
  sigset_t mine_before;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine_before);
  Script script;
  std::string name;
  sigset_t blocked;
  script.on_begin = [&](Nanos) {
    char buffer[16] = "";
    pthread_getname_np(pthread_self(), buffer, sizeof buffer);
    name = buffer;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  };
  const auto worker = worker_of(script);
  worker->start("gilknock-watch1", worker);
  sigset_t mine_after;
  pthread_sigmask(SIG_SETMASK, nullptr, &mine_after);
  stop(*worker);
  CHECK_EQ(name, "gilknock-watch1");
  for (int signal = 1; signal < 32; ++signal) {
    CHECK_EQ(sigismember(&mine_before, signal), sigismember(&mine_after, signal));
    const bool fault =
        signal == SIGSEGV || signal == SIGBUS || signal == SIGFPE || signal == SIGILL;
    if (signal != SIGKILL && signal != SIGSTOP) CHECK_EQ(sigismember(&blocked, signal), !fault);
  }
}
#endif

#if defined(__GLIBC__)
TEST(worker_without_a_thread_is_as_before) {
  const NothingLeft nothing_left;
  Script script;
  const auto worker = worker_of(script);
  {
    const ThreadLimit none(0);
    if (!none.holds()) return;
    CHECK_THROWS(worker->start("gilknock-test", worker), std::system_error);
  }
  CHECK(!worker->started());
  CHECK_EQ(worker.use_count(), 1);
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  CHECK_EQ(sigismember(&blocked, SIGTERM), 0);
  CHECK(script.calls.empty());
  worker->start("gilknock-test", worker);
  stop(*worker);
}
#endif

}  // namespace
}  // namespace gilknocker
