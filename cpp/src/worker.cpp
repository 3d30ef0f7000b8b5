#include "gilknocker/worker.hpp"

#include <signal.h>

#include <system_error>
#include <utility>

#include "gilknocker/this_thread.hpp"

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

struct Worker::Start {
  Worker* worker;
  std::shared_ptr<void> owner;
  const char* name;
};

// Says that the thread has ended, also when a forced unwind ends it.
class Worker::EndGuard {
 public:
  explicit EndGuard(Worker& worker) noexcept : worker_(worker) {}
  EndGuard(const EndGuard&) = delete;
  EndGuard& operator=(const EndGuard&) = delete;
  ~EndGuard() {
    MutexLock lock(worker_.mutex_);
    worker_.ended_ = true;
    worker_.changed_.notify_all();
  }

 private:
  Worker& worker_;
};

Worker::Worker(const Clock& clock, std::unique_ptr<Task> task) noexcept
    : clock_(clock), task_(std::move(task)) {}

void Worker::start(const char* name, std::shared_ptr<void> owner) {
  auto start = std::make_unique<Start>(Start{this, std::move(owner), name});
  const SignalsBlocked inherited_by_the_thread;
  const int error = pthread_create(&thread_, nullptr, &Worker::entry, start.get());
  if (error != 0) throw std::system_error(error, std::generic_category(), "pthread_create");
  static_cast<void>(start.release());  // the thread owns it now
  started_ = true;
}

void* Worker::entry(void* start) {
  const std::unique_ptr<Start> mine(static_cast<Start*>(start));
#if defined(__APPLE__)
  pthread_setname_np(mine->name);
#else
  pthread_setname_np(pthread_self(), mine->name);
#endif
  this_thread::mark_ours();
  const EndGuard guard(*mine->worker);
  mine->worker->run();
  return nullptr;
}

void Worker::run() {
  task_->begin();
  while (wait_until_due()) task_->wake(clock_.now());
  task_->end();
}

bool Worker::wait_until_due() noexcept {
  const Nanos due = task_->due();
  MutexLock lock(mutex_);
  while (!stop_ && (due == kNever || clock_.now() < due)) changed_.wait_until(mutex_, due);
  return !stop_;
}

void Worker::request_stop() noexcept {
  MutexLock lock(mutex_);
  stop_ = true;
  changed_.notify_all();
}

bool Worker::wait_ended(Nanos deadline) noexcept {
  MutexLock lock(mutex_);
  while (!ended_ && clock_.now() < deadline) changed_.wait_until(mutex_, deadline);
  return ended_;
}

void Worker::join() noexcept { pthread_join(thread_, nullptr); }
void Worker::detach() noexcept { pthread_detach(thread_); }

}  // namespace gilknocker
