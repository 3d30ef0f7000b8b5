// The stack of whoever holds the GIL at this instant.
//
// A thread changes its Python frames only with the GIL held. So one that let go while its stack was
// read left it as it was: what was read is its stack at the look, or some microseconds later. One
// that ended meanwhile left none: it was as good as at its end at the look already.
//
// Thread safety: belongs to one thread. Nothing is allocated, no lock is taken.
#pragma once

#include <cstdint>
#include <optional>

#include "gilknocker/gil.hpp"
#include "gilknocker/memory.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker {

enum class StackLook : unsigned char {
  kFree,       // nobody holds the GIL
  kWhole,      // the stack of the thread that held it at the look; empty: it had no Python frame
  kUnreadable  // there was no stack to be read
};

class HolderStack {
 public:
  HolderStack(const Gil& gil, const Memory& memory, const StackOffsets& offsets) noexcept
      : gil_(gil), reader_(memory, offsets, gil.state_size()) {}

  // *stack is of *mark's thread if it is kWhole; its state is that of *mark, if it was read. An
  // attempt that met the instant in which a frame is made or taken down is made again: also when
  // the thread has let go since, for its frames are at rest then.
  StackLook look(RawStack* stack, HolderMark* mark) noexcept;

 private:
  static constexpr int kSettling = 4;
  // Beside a generator that does nothing but yield two of five attempts are in vain.
  static constexpr int kTries = 16;

  std::optional<HolderMark> settled_mark() const noexcept;

  const Gil& gil_;
  StackReader reader_;
};

}  // namespace gilknocker
