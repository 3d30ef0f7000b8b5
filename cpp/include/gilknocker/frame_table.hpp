// Frames by number: names read once for each place in a program, and looked up from then on.
//
// A place is a code object's address and an instruction. The address can come back as another code
// object's, so a name is believed as long as no code object was freed since it was read (where that
// is counted), or while the code object has the same version (where it has one): asked for all
// frames of a stack in one system call. Else it is read again at each look.
//
// Thread safety: none; belongs to the thread that reads, or to who guards it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gilknocker/code_reader.hpp"
#include "gilknocker/memory.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker {

struct Frame {
  std::string function;
  std::string file;
  std::int32_t line = 0;

  bool operator==(const Frame&) const = default;
};

class FrameTable {
 public:
  using Id = std::uint32_t;
  using Stack = std::vector<Id>;

  FrameTable(const Memory& memory, const StackOffsets& offsets) noexcept
      : reader_(memory, offsets), counts_deaths_(offsets.code_deaths != nullptr) {}

  // The frames of a stack that was just read, the oldest first. False if one of them cannot be
  // told; *stack is unspecified then. Throws std::bad_alloc.
  bool resolve(const RawStack& raw, Stack* stack);

  const Frame& operator[](Id id) const { return frames_[id]; }
  std::size_t size() const noexcept { return frames_.size(); }
  Id add(const Frame& frame);  // the number of an equal one, if there is one
  // Forgets all; numbers given out before mean nothing from now on.
  void clear() noexcept;

 private:
  static constexpr std::size_t kMostCodes = std::size_t{1} << 16;

  struct Code {
    CodeIdentity identity;
    std::uint64_t deaths = 0;                        // it lived when at least that many had died
    std::vector<std::pair<std::int32_t, Id>> lines;  // by instruction
  };
  struct Hash {
    std::size_t operator()(const Frame& frame) const noexcept;
  };

  // Of the last stack: mostly the next has the same callers.
  struct Named {
    RawFrame frame;
    Id id = 0;
    bool has_line = false;
  };

  std::size_t known_callers(const RawStack& raw) const noexcept;
  bool name_newest(const RawStack& raw, std::size_t count);
  void identify_newest(const RawStack& raw, std::size_t newest);
  const Id* id_of(const RawFrame& frame);

  CodeReader reader_;
  const bool counts_deaths_;
  std::unordered_map<std::uint64_t, Code> codes_;
  std::vector<Frame> frames_;
  std::unordered_map<Frame, Id, Hash> ids_;
  std::vector<Named> last_;  // the oldest first
  std::uint64_t last_deaths_ = 0;
};

}  // namespace gilknocker
