#include "gilknocker/known_names.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace gilknocker {

KnownNames& KnownNames::instance() noexcept {
  // Never destroyed: a watcher may read it while the process ends.
  alignas(KnownNames) static std::array<unsigned char, sizeof(KnownNames)> place;
  static KnownNames* const names = new (place.data()) KnownNames;
  return *names;
}

void KnownNames::add(std::uint64_t ident, std::int64_t native_id, std::string_view name) noexcept {
  Entry entry{ident, native_id, {}};
  std::size_t size = std::min(name.size(), entry.name.size() - 1);
  const auto continues = [&name](std::size_t at) {
    return at < name.size() && (static_cast<unsigned char>(name[at]) & 0xC0U) == 0x80U;
  };
  while (size != 0 && continues(size)) --size;
  std::memcpy(entry.name.data(), name.data(), size);
  MutexLock lock(mutex_);
  for (std::size_t i = 0; i < size_; ++i) {
    if (entries_[i].ident != ident) continue;
    entries_[i] = entry;
    return;
  }
  entries_[next_] = entry;
  next_ = (next_ + 1) % kMost;
  size_ = std::min(size_ + 1, kMost);
}

ThreadName KnownNames::find(std::uint64_t ident, std::int64_t native_id) const noexcept {
  ThreadName name{};
  if (!mutex_.try_lock()) return name;
  for (std::size_t i = 0; i < size_; ++i) {
    const Entry& entry = entries_[i];
    const bool both = native_id != 0 && entry.native_id != 0;
    if (both ? entry.native_id == native_id : ident != 0 && entry.ident == ident) {
      name = entry.name;
      break;
    }
  }
  mutex_.unlock();
  return name;
}

void KnownNames::begin_anew() noexcept { new (this) KnownNames; }

}  // namespace gilknocker
