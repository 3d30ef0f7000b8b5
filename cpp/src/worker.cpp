#include "gilknocker/worker.hpp"

#include <utility>

#include "gilknocker/this_thread.hpp"

namespace gilknocker {

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
  thread_.start(&Worker::entry, start.get());
  static_cast<void>(start.release());  // the thread owns it now
  started_ = true;
}

void* Worker::entry(void* start) {
  const std::unique_ptr<Start> mine(static_cast<Start*>(start));
  this_thread::set_name(mine->name);
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
  while (true) {
    const Nanos due = task_->due();  // without the mutex: it is none of the task's
    MutexLock lock(mutex_);
    while (!stop_ && !poked_ && (due == kNever || clock_.now() < due)) {
      changed_.wait_until(mutex_, due);
    }
    if (stop_ || !poked_) return !stop_;
    poked_ = false;
  }
}

void Worker::request_stop() noexcept {
  MutexLock lock(mutex_);
  stop_ = true;
  changed_.notify_all();
}

void Worker::poke() noexcept {
  MutexLock lock(mutex_);
  poked_ = true;
  changed_.notify_all();
}

bool Worker::try_poke() noexcept {
  if (!mutex_.try_lock()) return false;
  poked_ = true;
  changed_.notify_all();
  mutex_.unlock();
  return true;
}

bool Worker::wait_ended(Nanos deadline) noexcept {
  MutexLock lock(mutex_);
  while (!ended_ && clock_.now() < deadline) changed_.wait_until(mutex_, deadline);
  return ended_;
}

void Worker::join() noexcept { thread_.join(); }
void Worker::detach() noexcept { thread_.detach(); }

}  // namespace gilknocker
