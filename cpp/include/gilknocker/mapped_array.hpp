// Memory that is there before anybody writes to it: what a hook inside CPython's lock may use.
//
// Mapped from the system, zeroed, never moved, and given back as a whole. Pages that nobody touches
// cost nothing, unless `resident` asks for all of them at once, so that no page fault comes later.
//
// Thread safety: none of its own; the owner says who writes what.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>

namespace gilknocker {

template <typename T>
class MappedArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit MappedArray(std::size_t size, bool resident = false) : size_(size) {
    if (size == 0) return;
    if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    void* const memory = mmap(nullptr, size * sizeof(T), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | flags(resident), -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    items_ = static_cast<T*>(memory);
  }
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() {
    if (items_ != nullptr) munmap(items_, size_ * sizeof(T));
  }

  std::size_t size() const noexcept { return size_; }
  T& operator[](std::size_t index) noexcept { return items_[index]; }
  const T& operator[](std::size_t index) const noexcept { return items_[index]; }

 private:
  static int flags([[maybe_unused]] bool resident) noexcept {
#if defined(MAP_POPULATE)
    return resident ? MAP_POPULATE : MAP_NORESERVE;
#else
    return 0;
#endif
  }

  const std::size_t size_;
  T* items_ = nullptr;
};

}  // namespace gilknocker
