// A stall: for so long no other thread could have the GIL, though somebody asked for it.
//
// Thread safety: none; belongs to the watcher's thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "gilknocker/code_reader.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

// Where stalls are told, and which.
enum class StallFormat : unsigned char { kText, kJson };

enum class StallEvent : unsigned char {
  kBegin,  // it has lasted longer than what is tolerated
  kAgain,  // and lasts on
  kEnd
};

struct WaitingThread {
  std::int64_t native_id = 0;
  ThreadName name{};
  Nanos waited = 0;  // at least
};

struct Stall {
  static constexpr std::size_t kMostFrames = 64;
  static constexpr std::size_t kMostWaiting = 16;

  std::int64_t number = 0;  // of this watch, from 1
  Nanos since = 0;          // the first look that found it held so
  Nanos since_unix = 0;
  Nanos held = 0;  // until now, or in all
  HolderId thread;
  ThreadName name{};
  std::optional<Nanos> cpu;  // that the thread used in the newest `cpu_over`
  Nanos cpu_over = 0;
  std::optional<int> collecting;       // the generation of a garbage collection under way
  Nanos knock_waited = 0;              // a thread of ours has asked for it for at least so long
  std::optional<std::size_t> waiters;  // of the program; nothing where that cannot be told
  std::array<WaitingThread, kMostWaiting> waiting{};  // the first of them
  std::size_t depth = 0;                              // of the stack, all its frames
  std::size_t frames = 0;  // so many of `names` are its newest, the newest first
  bool stack_known = false;
  bool cut = false;  // deeper than any stack that is read
  std::array<FrameName, kMostFrames> names;
};

}  // namespace gilknocker
