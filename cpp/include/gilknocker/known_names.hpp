// What the program calls its threads, to be read without the GIL.
//
// Thread safety: any thread may call anything. The mutex is held for a table's time; who holds the
// GIL may wait for it, for nobody waits for the GIL meanwhile, and find() never waits: it fails.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gilknocker/gil.hpp"
#include "gilknocker/sync.hpp"

namespace gilknocker {

class KnownNames {
 public:
  static constexpr std::size_t kMost = 1024;  // the newest; of older threads the system's name is

  // The process's own.
  static KnownNames& instance() noexcept;

  // Of the thread that has this ident now; a native id of 0 is not known. What is too long loses
  // its end, within no letter of UTF-8.
  void add(std::uint64_t ident, std::int64_t native_id, std::string_view name) noexcept
      GILKNOCKER_EXCLUDES(mutex_);
  // By its native id, or where one is not known by its ident. Empty if there is none, or somebody
  // is at work here.
  ThreadName find(std::uint64_t ident, std::int64_t native_id) const noexcept
      GILKNOCKER_EXCLUDES(mutex_);
  // In a forked child, before any other thread exists there: the mutex may be locked for ever.
  void begin_anew() noexcept GILKNOCKER_NO_ANALYSIS;

 private:
  struct Entry {
    std::uint64_t ident = 0;
    std::int64_t native_id = 0;
    ThreadName name{};
  };

  mutable Mutex mutex_;
  std::array<Entry, kMost> entries_ GILKNOCKER_GUARDED_BY(mutex_){};
  std::size_t size_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
  std::size_t next_ GILKNOCKER_GUARDED_BY(mutex_) = 0;
};

}  // namespace gilknocker
