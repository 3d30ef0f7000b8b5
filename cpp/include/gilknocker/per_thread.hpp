// A record for each thread that asks for one: what a hook inside CPython's lock may use in the
// place of thread-local variables.
//
// Those would have to be of the model initial-exec, for glibc allocates the others when a thread
// first comes to them; and a library that has any is refused where other libraries have used up the
// room for them ("cannot allocate memory in static TLS block"). A pthread key has room for one
// pointer in every thread: musl's always, glibc's if it is among the first 32.
//
// Thread safety
//   mine(), known()       any thread. Nothing is allocated or locked, and errno is kept.
//   prepare()             once, before them.
//   keep_only_mine()      in a forked child, whose only thread calls.
//   a record              belongs to its thread, until that ends.
//   ends_of()             what it points to is counted up by a thread that ends, with release, and
//                         read by anybody, with acquire: who sees it sees what that thread wrote.
//   free_, used_          by any thread. Free records are a stack, its head counted, so that one
//   that
//                         was taken and given back meanwhile is another. A record is given back
//                         with release and taken with acquire: who gets it sees what its last owner
//                         wrote.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include "gilknocker/mapped_array.hpp"

namespace gilknocker {

// A pointer of each thread, null at first. Never given back: threads outlive every orderly end.
class ThreadKey {
 public:
  // `at_end` is called by a thread that ends, with its pointer if that is not null.
  explicit ThreadKey(void (*at_end)(void*)) noexcept
      : there_(pthread_key_create(&key_, at_end) == 0) {}
  ThreadKey(const ThreadKey&) = delete;
  ThreadKey& operator=(const ThreadKey&) = delete;

  bool is_there() const noexcept { return there_; }
  // Whether set() never allocates.
  bool has_room_in_all() const noexcept;
  // REQUIRES of both: is_there()
  void* get() const noexcept { return pthread_getspecific(key_); }
  bool set(void* value) const noexcept { return pthread_setspecific(key_, value) == 0; }

 private:
  pthread_key_t key_{};
  const bool there_;
};

// Never destroyed, as its key is not.
template <typename T>
class PerThread {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  PerThread() noexcept : key_(&PerThread::at_end) {}
  PerThread(const PerThread&) = delete;
  PerThread& operator=(const PerThread&) = delete;

  // Maps memory for the records of so many threads at a time. Null, or why there can be none.
  // Throws std::bad_alloc.
  const char* prepare(std::size_t most);

  // The calling thread's record; null if it has none yet, or there was no room.
  T* known() const noexcept {
    Record* const record = static_cast<Record*>(key_.get());
    return record == nullptr ? nullptr : &record->value;
  }
  // The same; made by T{} if it has none yet. REQUIRES of both: prepare() has returned null.
  T* mine() noexcept {
    T* const value = known();
    return value != nullptr ? value : make();
  }

  // How many threads whose record this was have ended: another number than before tells that the
  // one from before has. Valid for ever. REQUIRES: `value` is a record's.
  static const std::atomic<std::uint32_t>* ends_of(const T* value) noexcept {
    const auto* const at = reinterpret_cast<const std::byte*>(value) - offsetof(Record, value);
    return &reinterpret_cast<const Record*>(at)->ends;
  }

  void keep_only_mine() noexcept;

 private:
  struct Record {
    PerThread* owner;
    std::atomic<std::uint32_t> ends;
    std::atomic<std::uint32_t> next;  // below it on the stack, counted from 1
    bool ending;                      // of the thread
    T value;
  };
  static constexpr std::uint64_t kIndex = 0xffff'ffff;
  static constexpr std::uint64_t kOneMore = kIndex + 1;

  T* make() noexcept;
  Record* pop() noexcept;
  void push(Record* record) noexcept;
  // Other libraries' destructors of thread-specific data may take the GIL once more: those that the
  // same round calls after this one still find the record.
  static void at_end(void* pointer) noexcept {
    auto* const record = static_cast<Record*>(pointer);
    PerThread& owner = *record->owner;
    if (!record->ending && owner.key_.set(record)) {
      record->ending = true;
    } else {
      owner.push(record);
    }
  }

  const ThreadKey key_;
  MappedArray<Record>* records_ = nullptr;
  std::atomic<std::uint64_t> free_{0};  // how often it changed, and the index from 1 of the top
  std::atomic<std::uint32_t> used_{0};  // records that have ever been in use
};

template <typename T>
const char* PerThread<T>::prepare(std::size_t most) {
  if (!key_.is_there() || !key_.has_room_in_all()) {
    return "the process has used up the keys of thread-specific data that need no memory";
  }
  if (records_ == nullptr) records_ = new MappedArray<Record>(most);
  return nullptr;
}

template <typename T>
T* PerThread<T>::make() noexcept {
  Record* record = pop();
  if (record == nullptr) {
    std::uint32_t index = used_.load(std::memory_order_relaxed);
    do {
      if (index == records_->size()) return nullptr;
    } while (!used_.compare_exchange_weak(index, index + 1, std::memory_order_relaxed));
    record = &(*records_)[index];
  }
  new (&record->value) T{};
  record->owner = this;
  record->ending = false;
  if (!key_.set(record)) {
    push(record);
    return nullptr;
  }
  return &record->value;
}

template <typename T>
typename PerThread<T>::Record* PerThread<T>::pop() noexcept {
  std::uint64_t top = free_.load(std::memory_order_acquire);
  while ((top & kIndex) != 0) {
    Record& record = (*records_)[(top & kIndex) - 1];
    // Of a record that is taken meanwhile this is anything, and the exchange fails.
    const std::uint64_t below = record.next.load(std::memory_order_relaxed);
    if (free_.compare_exchange_weak(top, (top & ~kIndex) + kOneMore + below,
                                    std::memory_order_acquire)) {
      return &record;
    }
  }
  return nullptr;
}

template <typename T>
void PerThread<T>::push(Record* record) noexcept {
  record->ends.fetch_add(1, std::memory_order_release);
  const auto index = static_cast<std::uint32_t>(record - &(*records_)[0]) + 1;
  std::uint64_t top = free_.load(std::memory_order_relaxed);
  do {
    record->next.store(static_cast<std::uint32_t>(top & kIndex), std::memory_order_relaxed);
  } while (!free_.compare_exchange_weak(top, (top & ~kIndex) + kOneMore + index,
                                        std::memory_order_release, std::memory_order_relaxed));
}

template <typename T>
void PerThread<T>::keep_only_mine() noexcept {
  if (records_ == nullptr) return;
  const Record* const kept = static_cast<const Record*>(key_.get());
  free_.store(0, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < used_.load(std::memory_order_relaxed); ++i) {
    if (&(*records_)[i] != kept) push(&(*records_)[i]);
  }
}

}  // namespace gilknocker
