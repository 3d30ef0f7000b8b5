#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "gilknocker/known_names.hpp"
#include "gilknocker/process.hpp"
#include "gilknocker/surroundings.hpp"
#include "gilknocker/waiting_threads.hpp"

namespace gilknocker {
namespace {

// Written by who holds the GIL, read by watchers. Relaxed: it is of that instant only.
std::atomic<int> generation{-1};

bool is_ours(std::int64_t native_id) noexcept {
  const ThreadName name = process::name_of(native_id);
  return std::strncmp(name.data(), "gilknock-", 9) == 0;  // as Worker::start() is told
}

}  // namespace

void OwnSurroundings::set_collecting(int now) noexcept {
  generation.store(now, std::memory_order_relaxed);
}

std::optional<int> OwnSurroundings::collecting() const noexcept {
  const int now = generation.load(std::memory_order_relaxed);
  return now < 0 ? std::nullopt : std::optional(now);
}

ThreadName OwnSurroundings::name_of(std::uint64_t ident, std::int64_t native_id) const noexcept {
  const ThreadName name = KnownNames::instance().find(ident, native_id);
  return name.front() != 0 || native_id == 0 ? name : process::name_of(native_id);
}

std::optional<Nanos> OwnSurroundings::cpu_of(std::int64_t native_id) const noexcept {
  return process::cpu_of(native_id);
}

std::optional<std::size_t> OwnSurroundings::waiters(const Gil& gil, bool ours,
                                                    std::span<std::int64_t> found) const noexcept {
  constexpr std::size_t kMost = 256;
  const std::optional<MemoryRange> place = gil.waiting_place();
  if (!place) return std::nullopt;
  std::array<std::int64_t, kMost> all{};
  const std::optional<std::size_t> count =
      process::threads_waiting_at(place->begin, place->end, all);
  if (!count) return std::nullopt;
  std::size_t others = *count;
  std::size_t room = 0;
  for (std::size_t i = 0; i < std::min(*count, kMost); ++i) {
    if (is_ours(all[i])) {
      --others;
    } else if (room < found.size()) {
      found[room++] = all[i];
    }
  }
  // Where ours is not seen to wait though it does, threads wait in another way here.
  if (ours && others == *count) return std::nullopt;
  return others;
}

}  // namespace gilknocker
