#include "gilknocker/thread.hpp"

#if defined(__linux__)
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <atomic>
#include <memory>

#include "check.hpp"
#include "nothing_left.hpp"

namespace gilknocker {
namespace {

TEST(thread_that_was_let_go_needs_its_object_no_more) {
  constexpr int kThreads = 200;
  static std::atomic<int> ran;
  ran = 0;
  for (int i = 0; i < kThreads; ++i) {
    const auto thread = std::make_unique<Thread>();
    thread->start(
        [](void* count) -> void* {
          ++*static_cast<std::atomic<int>*>(count);
          return nullptr;
        },
        &ran);
    thread->detach();
  }
  CHECK(eventually([] { return ran == kThreads; }));
}

#if defined(__linux__)
// A thread with files of its own closes them when it ends: after who joins it was woken.
TEST(thread_that_was_joined_is_none_of_the_process_any_more) {
  int left = 0;
  for (int i = 0; i < 20; ++i) {
    long number = 0;
    Thread thread;
    thread.start(
        [](void* mine) -> void* {
          *static_cast<long*>(mine) = syscall(SYS_gettid);
          CHECK_EQ(unshare(CLONE_FILES), 0);
          const int file = open("/dev/null", O_RDONLY);
          for (int copies = 0; copies < 10'000 && dup(file) >= 0; ++copies) {
          }
          return nullptr;
        },
        &number);
    thread.join();
    left += syscall(SYS_tgkill, getpid(), number, 0) == 0;
  }
  CHECK_EQ(left, 0);
}
#endif

}  // namespace
}  // namespace gilknocker
