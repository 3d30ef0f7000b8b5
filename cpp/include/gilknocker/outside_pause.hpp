// A thread of another process that stands still for a moment: what it alone frees stays where it
// is.
//
// ptrace(2) is asked by a thread of ours: the kernel lets go of all that a thread traces when that
// ends, however it does. It waits for the stop in waitpid(2), which cannot be told for how long,
// and a stop sends nothing that could be waited for instead: SIGCHLD belongs to the program, and a
// pidfd tells of ends alone. So it is the owner whose patience ends, and the tracing thread is left
// behind then: it lets go as soon as there is a stop after all, or the process ends.
//
// Thread safety
//   PausedThread   belongs to its owner; the constructor and let_go() wait.
//   Tracing        is shared by owner and tracing thread, and goes with the last of them; mutex
//                  guards answered and error, which the tracing thread writes, and release, which
//                  the owner does.
#pragma once

#include <cstdint>
#include <memory>

#include "gilknocker/nanos.hpp"
#include "gilknocker/sync.hpp"
#include "gilknocker/thread.hpp"

namespace gilknocker {

class PausedThread {
 public:
  // Waits until it stands still, or cannot: see error(). Throws std::system_error where there is no
  // thread of ours to be had.
  PausedThread(std::int64_t thread_id, Nanos patience);
  PausedThread(const PausedThread&) = delete;
  PausedThread& operator=(const PausedThread&) = delete;
  ~PausedThread() { let_go(); }

  // 0 where it stands still; else what ptrace(2) said, or ETIMEDOUT where it did not stop in time.
  int error() const noexcept { return outcome_; }
  void let_go() noexcept;  // it goes on; again nothing

 private:
  struct Tracing {
    std::int64_t thread_id = 0;
    Mutex mutex;
    CondVar changed;
    bool answered GILKNOCKER_GUARDED_BY(mutex) = false;
    bool release GILKNOCKER_GUARDED_BY(mutex) = false;
    int error GILKNOCKER_GUARDED_BY(mutex) = 0;
  };

  static void* entry(void* tracing);  // a std::shared_ptr<Tracing>*, which is its own
  static void run(Tracing& tracing) noexcept;

  const std::shared_ptr<Tracing> tracing_;
  Thread thread_;
  int outcome_ = 0;
  bool left_ = false;  // the thread was joined or left behind
};

}  // namespace gilknocker
