#include "gilknocker/this_thread.hpp"

#if defined(__linux__)

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "check.hpp"

namespace gilknocker {
namespace {

// Each changes the thread that asks: so one of its own.
template <typename Body>
void on_a_thread(Body body) {
  std::thread(body).join();
}

// musl refuses to ask.
long policy() { return syscall(SYS_sched_getscheduler, 0); }

TEST(exact_timers_leave_no_slack) {
  on_a_thread([] {
    this_thread::ask_for_exact_timers();
    CHECK_EQ(prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL), 1);
  });
}

TEST(short_slice_changes_neither_policy_nor_nice) {
  on_a_thread([] {
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 3);
    const long before = policy();
    const bool took = this_thread::ask_for_short_slice();
    CHECK(!took || before == SCHED_OTHER);
    CHECK_EQ(getpriority(PRIO_PROCESS, static_cast<id_t>(gettid())), 3);
    CHECK_EQ(policy(), before);
    CHECK_EQ(this_thread::ask_for_short_slice(), took);
  });
}

TEST(short_slice_is_asked_for_under_the_usual_policy_only) {
  on_a_thread([] {
    const sched_param none{};
    if (sched_setscheduler(0, SCHED_BATCH, &none) != 0) return;
    CHECK(!this_thread::ask_for_short_slice());
    CHECK_EQ(policy(), SCHED_BATCH);
  });
}

TEST(voluntary_switches_count_waits) {
  on_a_thread([] {
    const auto before = this_thread::usage();
    for (int i = 0; i < 5; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const auto after = this_thread::usage();
    REQUIRE(before && after);
    CHECK(after->voluntary_switches - before->voluntary_switches >= 5);
    CHECK(after->cpu >= before->cpu);
  });
}

}  // namespace
}  // namespace gilknocker

#endif
