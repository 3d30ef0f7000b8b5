// The stack of whoever holds the GIL at this instant, of which it is known whether it is one.
//
// Thread safety: belongs to one thread. Nothing is allocated, no lock is taken.
#pragma once

#include <cstdint>

#include "gilknocker/gil.hpp"
#include "gilknocker/memory.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker {

enum class StackLook : unsigned char {
  kFree,       // nobody holds the GIL
  kWhole,      // the same thread held it all the while that its stack was read
  kMoved,      // it was given to another thread, or let go of
  kUnreadable  // held all the while, and yet there was no stack to be read
};

class HolderStack {
 public:
  HolderStack(const Gil& gil, const Memory& memory, const StackOffsets& offsets) noexcept
      : gil_(gil), reader_(memory, offsets) {}

  // *stack is of *mark's thread if it is kWhole. An attempt that met the instant in which a frame
  // is made or taken down is made again, while the same thread holds the GIL.
  StackLook look(RawStack* stack, HolderMark* mark) noexcept;

 private:
  static constexpr int kTries = 4;

  const Gil& gil_;
  StackReader reader_;
};

}  // namespace gilknocker
