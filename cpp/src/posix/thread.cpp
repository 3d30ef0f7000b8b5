#include "gilknocker/thread.hpp"

#include <signal.h>

#include <system_error>

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

}  // namespace

void Thread::start(Body body, void* argument) {
  const SignalsBlocked inherited_by_the_thread;
  const int error = pthread_create(&handle_, nullptr, body, argument);
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
}

void Thread::join() noexcept { pthread_join(handle_, nullptr); }
void Thread::detach() noexcept { pthread_detach(handle_); }

}  // namespace gilknocker
