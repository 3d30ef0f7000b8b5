// What a frame is called: function, file and line, from the bytes of its code object alone.
//
// A code object can be freed and its memory used again at any time. So its fields are read before
// and after what they point to, in the same system call: the same both times, of type code, and
// with references left both times, means that they are of one object, which kept its strings alive
// meanwhile. (One that is taken down has none left, and lets go of its strings only then; what is
// freed holds an address there, or nothing.)
//
// Thread safety: a CodeReader belongs to one thread. Nothing is allocated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gilknocker/memory.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker {

// UTF-8 in a place of its own. What is too long loses its beginning: of a path the end tells more.
template <std::size_t kRoom>
struct Text {
  std::array<char, kRoom> bytes;
  std::size_t size = 0;

  std::string_view view() const noexcept { return {bytes.data(), size}; }
};

struct FrameName {
  Text<256> function;     // qualified; on 3.10, whose code objects know no more, the plain name
  Text<512> file;         // as the code object has it
  std::int32_t line = 0;  // kNoLine: an instruction that belongs to none
};

// By what a code object is known again: none of it changes while the object lives. Two that live
// one after the other can have the same address, strings at the same addresses, and all else alike:
// only with a version is this a proof.
struct CodeIdentity {
  std::uint64_t type = 0;
  std::uint64_t file = 0;
  std::uint64_t name = 0;
  std::uint64_t qualname = 0;
  std::uint64_t linetable = 0;
  std::uint64_t count = 0;
  std::int32_t first_line = 0;
  std::uint32_t version = 0;  // 0: none

  bool operator==(const CodeIdentity&) const = default;
};

class CodeReader {
 public:
  CodeReader(const Memory& memory, const StackOffsets& offsets) noexcept
      : memory_(memory), offsets_(offsets) {}

  // Of as many code objects as one system call may ask for; false for those that are none.
  static constexpr std::size_t kMostIdentities = Memory::kMostPieces;
  void identify(const std::uint64_t* codes, std::size_t count, CodeIdentity* identities,
                bool* found) noexcept;
  // The same, of bytes that were read already.
  bool identity_of(const unsigned char* code, CodeIdentity* identity) const noexcept;

  // False if the code object is not there, or is none, or changed while it was read.
  bool name(const RawFrame& frame, FrameName* name, CodeIdentity* identity) noexcept;
  // Of one that was that a moment ago. Two system calls in all, but for what is long.
  bool name(const RawFrame& frame, const CodeIdentity& identity, FrameName* name) noexcept;

 private:
  static constexpr std::size_t kLargestCode = RawStack::kLargestCode;
  static constexpr std::size_t kLongestTable = std::size_t{1} << 20;

  // An object's first bytes: mostly all of it.
  struct Beginning {
    std::uint64_t address = 0;
    std::size_t size = 0;
    std::array<unsigned char, 1024> bytes;

    Piece piece(std::uint64_t object, std::size_t least) noexcept;
  };

  // `size` bytes of an object, from `offset` on; null if they are not there.
  const unsigned char* bytes_of(const Beginning& object, std::uint64_t offset,
                                std::size_t size) noexcept;
  bool string(const Beginning& object, char* to, std::size_t room, std::size_t* size) noexcept;
  bool line(const Beginning& table, const RawFrame& frame, const CodeIdentity& identity,
            std::int32_t* line) noexcept;

  const Memory& memory_;
  const StackOffsets offsets_;
  std::array<std::array<unsigned char, kLargestCode>, kMostIdentities> codes_;
  Beginning function_;
  Beginning file_;
  Beginning table_;
  std::array<unsigned char, kLongestTable> bytes_;  // of what did not fit in there
  bool read_more_ = false;
};

}  // namespace gilknocker
