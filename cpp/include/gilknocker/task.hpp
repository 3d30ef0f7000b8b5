// What a worker's thread does: passive, so that a test can drive it through simulated time.
//
// Thread safety: all calls come from one thread (the worker's, or the test's).
#pragma once

#include "gilknocker/nanos.hpp"

namespace gilknocker {

class Task {
 public:
  Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  virtual ~Task() = default;

  virtual void begin() {}
  // When to be woken next; kNever: only to end.
  virtual Nanos due() const noexcept = 0;
  // REQUIRES: now >= due(). May block, and may leave by a forced unwind.
  virtual void wake(Nanos now) = 0;
  virtual void end() {}
};

}  // namespace gilknocker
