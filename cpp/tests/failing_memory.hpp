// Memory that runs out on request, and allocations as moments at which a test can step in.
//
// Thread safety: each thread has its own; other threads' allocations are as ever.
#pragma once

#include <functional>

namespace gilknocker {

// The n-th allocation from now on fails.
class FailingMemory {
 public:
  explicit FailingMemory(int allocations_before);  // that succeed; the next one throws, once
  FailingMemory(const FailingMemory&) = delete;
  FailingMemory& operator=(const FailingMemory&) = delete;
  ~FailingMemory();

  bool has_failed() const;  // false: there were not as many allocations
};

// Calls `act` at the next allocation, before it is served.
class AtAllocation {
 public:
  explicit AtAllocation(std::function<void()> act);
  AtAllocation(const AtAllocation&) = delete;
  AtAllocation& operator=(const AtAllocation&) = delete;
  ~AtAllocation();

 private:
  std::function<void()> act_;
};

}  // namespace gilknocker
