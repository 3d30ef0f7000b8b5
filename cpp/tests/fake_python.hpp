// A Python's memory as a stack is read from it: regions that are there, and frames put into them.
//
// Thread safety: none.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "gilknocker/memory.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker {

class FakeMemory final : public Memory {
 public:
  void map(std::uint64_t address, std::size_t size) { regions_[address].resize(size); }
  void unmap(std::uint64_t address) { regions_.erase(address); }
  std::size_t read_pieces(const Piece* pieces, std::size_t count) const noexcept override {
    ++calls;
    pieces_asked += count;
    for (std::size_t i = 0; i < count; ++i) {
      const unsigned char* const from = find(pieces[i].address, pieces[i].size);
      if (from == nullptr) return i;
      std::memcpy(pieces[i].to, from, pieces[i].size);
      bytes += pieces[i].size;
    }
    return count;
  }
  template <typename T>
  void put(std::uint64_t address, T value) {
    std::memcpy(const_cast<unsigned char*>(find(address, sizeof value)), &value, sizeof value);
  }
  void put_bytes(std::uint64_t address, const void* bytes, std::size_t size) {
    if (size != 0) std::memcpy(const_cast<unsigned char*>(find(address, size)), bytes, size);
  }
  // Every byte that there is, for those who want to spoil one.
  std::vector<unsigned char*> all() {
    std::vector<unsigned char*> bytes;
    for (auto& [address, region] : regions_) {
      for (unsigned char& byte : region) bytes.push_back(&byte);
    }
    return bytes;
  }

  mutable int calls = 0;
  mutable std::size_t pieces_asked = 0;
  mutable std::size_t bytes = 0;  // that were read

 private:
  const unsigned char* find(std::uint64_t address, std::size_t size) const noexcept {
    auto region = regions_.upper_bound(address);
    if (region == regions_.begin()) return nullptr;
    --region;
    const std::uint64_t offset = address - region->first;
    if (offset > region->second.size() || size > region->second.size() - offset) return nullptr;
    return region->second.data() + offset;
  }

  std::map<std::uint64_t, std::vector<unsigned char>> regions_;
};

// The three ways in which Pythons lay a stack out, with offsets of our own choice.
enum class Layout { kFrameObjects, kCframe, kCurrentFrame };

inline StackOffsets offsets_of(Layout layout) {
  StackOffsets to{};
  to.thread_frame = 24;
  to.cframe_frame = layout == Layout::kCframe ? 8 : GILKNOCKER_NONE;
  to.frame_size = 72;
  to.frame_previous = 16;
  to.frame_code = 8;
  to.frame_instruction = 40;
  to.frame_owner = layout == Layout::kFrameObjects ? GILKNOCKER_NONE : 70;
  to.artificial_from = layout == Layout::kCurrentFrame ? 3 : 256;
  to.frame_state = layout == Layout::kFrameObjects ? 71 : GILKNOCKER_NONE;
  to.code_tag = layout == Layout::kCurrentFrame ? 3 : 0;
  to.code_size = 80;
  to.code_count = layout == Layout::kFrameObjects ? GILKNOCKER_NONE : 16;
  to.code_filename = 24;
  to.code_name = 32;
  to.code_qualname = layout == Layout::kFrameObjects ? GILKNOCKER_NONE : 40;
  to.code_linetable = 48;
  to.code_firstlineno = 56;
  to.code_version = GILKNOCKER_NONE;
  to.code_instructions = layout == Layout::kFrameObjects ? GILKNOCKER_NONE : 80;
  to.line_table =
      layout == Layout::kFrameObjects ? GILKNOCKER_LINES_BY_PAIRS : GILKNOCKER_LINES_BY_LOCATIONS;
  to.object_type = 8;
  to.string_length = 16;
  to.string_state = 32;
  to.string_ascii_data = 40;
  to.string_other_data = 56;
  to.bytes_length = 16;
  to.bytes_data = 32;
  to.code_type = 0x7000;
  return to;
}

class FakePython {
 public:
  static constexpr std::uint64_t kThread = 0x10'0000;
  static constexpr std::uint64_t kCframe = 0x20'0000;
  static constexpr std::uint64_t kRootCframe = kThread + 96;
  static constexpr std::uint64_t kDataStack = 0x1'0000'0000;
  static constexpr std::uint64_t kCode = 0x40'0000;
  static constexpr std::uint64_t kEntry = 0x58'0000;

  explicit FakePython(Layout layout) : offsets(offsets_of(layout)) {
    memory.map(kThread, 128);
    memory.map(kCframe, 16);
    memory.map(kEntry, 128);
    if (has_artificial()) frame(kEntry, 0, kCode, 0, 3);
    memory.put(kThread + offsets.thread_frame, kCframe);
    newest(0);
  }

  bool has_artificial() const { return offsets.artificial_from < 256; }
  // What the oldest frame of a function has before it.
  std::uint64_t entry() const { return has_artificial() ? kEntry : 0; }

  void newest(std::uint64_t frame) {
    const bool by_cframe = offsets.cframe_frame != GILKNOCKER_NONE;
    if (by_cframe) memory.put(kThread + offsets.thread_frame, frame == 0 ? kRootCframe : kCframe);
    memory.put(by_cframe ? kCframe + offsets.cframe_frame : kThread + offsets.thread_frame, frame);
  }

  // A frame in memory that is there already.
  void frame(std::uint64_t at, std::uint64_t previous, std::uint64_t code, std::int32_t instruction,
             unsigned char owner = 0) {
    memory.put(at + offsets.frame_previous, previous);
    memory.put(at + offsets.frame_code, code | (offsets.code_tag & 1));
    if (offsets.code_instructions == GILKNOCKER_NONE) {
      memory.put(at + offsets.frame_instruction, instruction / 2);
    } else {
      memory.put(at + offsets.frame_instruction,
                 code + offsets.code_instructions + static_cast<std::uint64_t>(instruction));
      memory.put(at + offsets.frame_owner, owner);
    }
  }

  // A code object and its strings, in a region of its own; all of one line table.
  void code(std::uint64_t at, const std::string& function, const std::string& file, int first_line,
            const std::vector<unsigned char>& table) {
    memory.map(at, 0x1000);
    memory.put(at, std::uint64_t{1});  // reference
    memory.put(at + offsets.object_type, offsets.code_type);
    if (offsets.code_count != GILKNOCKER_NONE) {
      memory.put(at + offsets.code_count, std::uint64_t{1'000});
      memory.put(at + offsets.code_qualname, at + 0x200);
    }
    memory.put(at + offsets.code_name, at + 0x200);
    memory.put(at + offsets.code_filename, at + 0x400);
    memory.put(at + offsets.code_linetable, at + 0xA00);
    memory.put(at + offsets.code_firstlineno, first_line);
    string(at + 0x200, function.data(), function.size(), 1, true);
    string(at + 0x400, file.data(), file.size(), 1, true);
    memory.put(at + 0xA00 + offsets.bytes_length, std::uint64_t{table.size()});
    memory.put_bytes(at + 0xA00 + offsets.bytes_data, table.data(), table.size());
  }

  void string(std::uint64_t at, const void* points, std::size_t count, unsigned kind, bool ascii) {
    memory.put(at + offsets.string_length, std::uint64_t{count});
    memory.put(at + offsets.string_state, kind << 2 | 32U | (ascii ? 64U : 0U));
    memory.put_bytes(at + (ascii ? offsets.string_ascii_data : offsets.string_other_data), points,
                     count * kind);
  }

  FakeMemory memory;
  StackOffsets offsets;
};

}  // namespace gilknocker
