#include "failing_memory.hpp"

#include <cstdlib>
#include <new>
#include <utility>

namespace {

thread_local int allocations_left = -1;  // -1: they do not end
thread_local bool failed = false;
thread_local const std::function<void()>* at_next = nullptr;

void* allocate(std::size_t size) {
  if (const auto* act = std::exchange(at_next, nullptr)) (*act)();
  if (allocations_left == 0) {
    allocations_left = -1;
    failed = true;
    throw std::bad_alloc();
  }
  if (allocations_left > 0) --allocations_left;
  void* const memory = std::malloc(size != 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// The program's own; the array forms of the library call these. Not the nothrow form of every
// library: a sanitizer's has memory of its own.
void* operator new(std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace gilknocker {

FailingMemory::FailingMemory(int allocations_before) {
  failed = false;
  allocations_left = allocations_before;
}

FailingMemory::~FailingMemory() { allocations_left = -1; }

bool FailingMemory::has_failed() const { return failed; }

AtAllocation::AtAllocation(std::function<void()> act) : act_(std::move(act)) { at_next = &act_; }

AtAllocation::~AtAllocation() { at_next = nullptr; }

}  // namespace gilknocker
