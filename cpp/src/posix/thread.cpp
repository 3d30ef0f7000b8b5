#include "gilknocker/thread.hpp"

#include <signal.h>

#include <system_error>

#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "gilknocker/this_thread.hpp"
#endif

namespace gilknocker {
namespace {

// All signals but those that report a fault of the thread itself: the program's handlers run on
// the program's threads, also for signals that it blocks there later.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

void create(pthread_t* handle, Thread::Body body, void* argument) {
  const SignalsBlocked inherited_by_the_thread;
  const int error = pthread_create(handle, nullptr, body, argument);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
}

}  // namespace

#if defined(__linux__)

namespace {

// Who joins is woken before the thread has left, some 20 µs on an idle machine, on a busy one as
// long as it gets no CPU. When it has, the kernel tells nobody: it is asked, and for some 0.1 s at
// most, for its number may have been given to another one.
void wait_until_it_has_left(long number) noexcept {
  constexpr int kYields = 64;
  constexpr int kMost = 1'000;
  for (int i = 0; i < kMost && syscall(SYS_tgkill, getpid(), number, 0) == 0; ++i) {
    if (i < kYields) {
      sched_yield();
    } else {
      this_thread::sleep_for(50'000);
    }
  }
}

}  // namespace

void* Thread::enter(void* launch) {
  const auto take = [](void* one) {
    const std::unique_ptr<std::shared_ptr<Launch>> mine(static_cast<std::shared_ptr<Launch>*>(one));
    (*mine)->number = syscall(SYS_gettid);
    return std::pair((*mine)->body, (*mine)->argument);
  };
  const auto [body, argument] = take(launch);
  return body(argument);
}

void Thread::start(Body body, void* argument) {
  launch_ = std::make_shared<Launch>(Launch{body, argument});
  auto theirs = std::make_unique<std::shared_ptr<Launch>>(launch_);
  create(&handle_, &Thread::enter, theirs.get());
  static_cast<void>(theirs.release());  // the thread owns it now
}

void Thread::join() noexcept {
  pthread_join(handle_, nullptr);
  wait_until_it_has_left(launch_->number);
}

#else

void Thread::start(Body body, void* argument) { create(&handle_, body, argument); }
void Thread::join() noexcept { pthread_join(handle_, nullptr); }

#endif

void Thread::detach() noexcept { pthread_detach(handle_); }

}  // namespace gilknocker
