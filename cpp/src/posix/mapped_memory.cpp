#include <sys/mman.h>

#include <new>

#include "gilknocker/mapped_array.hpp"

namespace gilknocker {
namespace {

int flags([[maybe_unused]] bool resident) noexcept {
#if defined(MAP_POPULATE)
  return resident ? MAP_POPULATE : MAP_NORESERVE;
#else
  return 0;
#endif
}

}  // namespace

void* map_memory(std::size_t bytes, bool resident) {
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | flags(resident), -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return memory;
}

void unmap_memory(void* memory, std::size_t bytes) noexcept { munmap(memory, bytes); }

}  // namespace gilknocker
