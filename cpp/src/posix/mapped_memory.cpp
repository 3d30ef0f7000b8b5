#include <sys/mman.h>

#include <new>

#include "gilknocker/mapped_array.hpp"

namespace gilknocker {

void* map_memory(std::size_t bytes) {
  void* const memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_NOHUGEPAGE)
  // The kernel would clear 2 MB at once, 0.1 ms, for the hook that first touches one of its bytes.
  madvise(memory, bytes, MADV_NOHUGEPAGE);
#endif
  return memory;
}

void unmap_memory(void* memory, std::size_t bytes) noexcept { munmap(memory, bytes); }

}  // namespace gilknocker
