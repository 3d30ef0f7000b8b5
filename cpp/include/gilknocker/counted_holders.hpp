// How long each thread has held the GIL, as one meter counts: its own difference of the account.
//
// Thread safety: with the GIL held.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gilknocker/held_account.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

struct CountedHolder {
  HolderId id;  // all zero: threads that found no room in the account, or were folded there
  ThreadName name{};
  Nanos held = 0;
};

class CountedHolders {
 public:
  // What the account has now belongs to nobody's time; what it gets from here on does.
  void resume(const std::vector<HolderReading>& now) { move_to(now, 0); }
  // So much more is ours, at `rate` cycles a nanosecond.
  void advance(const std::vector<HolderReading>& now, double rate) { move_to(now, 1 / rate); }
  void clear() noexcept;
  // Those that held it longest, at most kMost, and all others together, last.
  static constexpr std::size_t kMost = 256;
  std::vector<CountedHolder> all() const;

 private:
  struct Key {
    std::uint64_t serial;
    const void* interpreter;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept {
      return std::hash<std::uint64_t>{}(key.serial);
    }
  };
  struct Entry {
    CountedHolder holder;
    Cycles seen = 0;  // in the account
    std::uint64_t turn = 0;
    double held = 0;
  };
  void move_to(const std::vector<HolderReading>& now, double nanos_per_cycle);

  std::unordered_map<Key, Entry, Hash> entries_;
  Entry others_;
  std::uint64_t turn_ = 0;
};

}  // namespace gilknocker
