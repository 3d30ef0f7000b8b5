// Memory that runs out on request: the n-th allocation of this thread from now on fails.
//
// Thread safety: each thread has its own count; other threads' memory does not fail.
#pragma once

namespace gilknocker {

class FailingMemory {
 public:
  explicit FailingMemory(int allocations_before);  // that succeed; the next one throws, once
  FailingMemory(const FailingMemory&) = delete;
  FailingMemory& operator=(const FailingMemory&) = delete;
  ~FailingMemory();

  bool has_failed() const;  // false: there were not as many allocations
};

}  // namespace gilknocker
