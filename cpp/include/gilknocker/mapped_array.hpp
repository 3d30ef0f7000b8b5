// Memory that is there before anybody writes to it: what a hook inside CPython's lock may use.
//
// Mapped from the system, zeroed, never moved, and given back as a whole. Pages that nobody touches
// cost nothing; to ask for all of a trace's at once took 10 ms, and 0.5 us for each as it comes.
//
// Thread safety: none of its own; the owner says who writes what.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>

namespace gilknocker {

// The system's part of it. Throws std::bad_alloc.
void* map_memory(std::size_t bytes);
void unmap_memory(void* memory, std::size_t bytes) noexcept;

template <typename T>
class MappedArray {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit MappedArray(std::size_t size) : size_(size) {
    if (size == 0) return;
    if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    items_ = static_cast<T*>(map_memory(size * sizeof(T)));
  }
  MappedArray(const MappedArray&) = delete;
  MappedArray& operator=(const MappedArray&) = delete;
  ~MappedArray() {
    if (items_ != nullptr) unmap_memory(items_, size_ * sizeof(T));
  }

  std::size_t size() const noexcept { return size_; }
  T& operator[](std::size_t index) noexcept { return items_[index]; }
  const T& operator[](std::size_t index) const noexcept { return items_[index]; }

 private:
  const std::size_t size_;
  T* items_ = nullptr;
};

}  // namespace gilknocker
