#include <windows.h>

#include <new>

#include "gilknocker/mapped_array.hpp"

namespace gilknocker {

void* map_memory(std::size_t bytes) {
  void* const memory = VirtualAlloc(nullptr, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void unmap_memory(void* memory, std::size_t) noexcept { VirtualFree(memory, 0, MEM_RELEASE); }

}  // namespace gilknocker
