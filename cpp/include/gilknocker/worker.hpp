// A thread around a task: wakes it when it is due, ends it on request.
//
// Thread safety
//   start()        once, by the owner.
//   request_stop(), poke(), try_poke()  any thread, any number of times.
//   wait_ended()   any thread; then join() or detach(), one of them once, by the owner.
//   stop_, poked_, ended_  guarded by mutex_: written by a stopper, by who pokes and by the
//   thread's
//                  last act, read by the thread's and the joiner's predicates.
// Never called with the GIL held, but for try_poke(), and request_stop() on a worker whose task
// never blocks in its wait: the mutex is only ever held for a flag's time.
//
// The thread keeps its owner alive through the shared_ptr given to start(): an abandoned thread
// outlives the sampler and ends by itself.
#pragma once

#include <memory>

#include "gilknocker/live_count.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/task.hpp"
#include "gilknocker/thread.hpp"

namespace gilknocker {

class Worker : private LiveCount<Worker> {
 public:
  using LiveCount<Worker>::value;

  Worker(const Clock& clock, std::unique_ptr<Task> task) noexcept;

  // Starts the thread under a name of at most 15 characters. Throws std::system_error.
  void start(const char* name, std::shared_ptr<void> owner);
  bool started() const noexcept { return started_; }

  void request_stop() noexcept GILKNOCKER_EXCLUDES(mutex_);
  // The task's due() has changed: it is asked again.
  void poke() noexcept GILKNOCKER_EXCLUDES(mutex_);
  // The same without waiting for anybody: false if that could not be.
  bool try_poke() noexcept GILKNOCKER_EXCLUDES(mutex_);
  // False if the thread has not ended at the deadline.
  bool wait_ended(Nanos deadline) noexcept GILKNOCKER_EXCLUDES(mutex_);
  void join() noexcept;
  void detach() noexcept;

 private:
  struct Start;
  class EndGuard;
  static void* entry(void* start);
  void run();
  bool wait_until_due() noexcept GILKNOCKER_EXCLUDES(mutex_);

  const Clock& clock_;
  const std::unique_ptr<Task> task_;
  Thread thread_;         // owner's
  bool started_ = false;  // owner's
  Mutex mutex_;
  CondVar changed_;
  bool stop_ GILKNOCKER_GUARDED_BY(mutex_) = false;
  bool poked_ GILKNOCKER_GUARDED_BY(mutex_) = false;
  bool ended_ GILKNOCKER_GUARDED_BY(mutex_) = false;
};

}  // namespace gilknocker
