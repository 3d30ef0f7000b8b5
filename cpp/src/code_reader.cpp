#include "gilknocker/code_reader.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "gilknocker/line_table.hpp"

namespace gilknocker {
namespace {

template <typename T>
T field(const unsigned char* object, std::uint32_t offset) noexcept {
  T value;
  std::memcpy(&value, object + offset, sizeof value);
  return value;
}

// UTF-8 of one code point; how many bytes. Half a surrogate pair, which stands for a byte that is
// no UTF-8 in a path, can be written nowhere: it becomes the replacement character.
std::size_t encode(std::uint32_t point, char* to) noexcept {
  if (point >= 0xD800 && point < 0xE000) point = 0xFFFD;
  const auto continued = [point](unsigned shift) {
    return static_cast<char>(0x80U | ((point >> shift) & 0x3FU));
  };
  if (point < 0x80) return to[0] = static_cast<char>(point), 1;
  if (point < 0x800) {
    to[0] = static_cast<char>(0xC0U | (point >> 6));
    to[1] = continued(0);
    return 2;
  }
  if (point < 0x10000) {
    to[0] = static_cast<char>(0xE0U | (point >> 12));
    to[1] = continued(6);
    to[2] = continued(0);
    return 3;
  }
  to[0] = static_cast<char>(0xF0U | ((point >> 18) & 7U));
  to[1] = continued(12);
  to[2] = continued(6);
  to[3] = continued(0);
  return 4;
}

std::uint32_t point_at(const unsigned char* data, std::size_t index, unsigned kind) noexcept {
  if (kind == 1) return data[index];
  if (kind == 2) return field<std::uint16_t>(data, static_cast<std::uint32_t>(2 * index));
  return field<std::uint32_t>(data, static_cast<std::uint32_t>(4 * index));
}

// Of the eight bytes before an object's type. The number is the lower half, flags are the uppermost
// two bytes; of memory that is free all are an address, or nothing.
bool has_references(std::uint64_t word) noexcept {
  constexpr std::uint64_t kNumber = 0xFFFF'FFFF;
  constexpr std::uint64_t kUnused = 0xFFFF'0000'0000;
  return (word & kNumber) != 0 && (word & kUnused) == 0;
}

}  // namespace

Piece CodeReader::Beginning::piece(std::uint64_t object, std::size_t least) noexcept {
  address = object;
  size = std::max(least, std::min(bytes.size(), static_cast<std::size_t>(kPage - object % kPage)));
  return {address, bytes.data(), size};
}

void CodeReader::identify(const std::uint64_t* codes, std::size_t count, CodeIdentity* identities,
                          bool* found) noexcept {
  assert(count <= kMostIdentities && offsets_.code_size <= kLargestCode);
  std::array<Piece, kMostIdentities> pieces;
  for (std::size_t i = 0; i < count; ++i) {
    pieces[i] = {codes[i], codes_[i].data(), offsets_.code_size};
  }
  for (std::size_t done = 0; done < count;) {
    const std::size_t whole = memory_.read_pieces(pieces.data() + done, count - done);
    for (std::size_t i = done; i < done + whole; ++i) {
      found[i] = identity_of(codes_[i].data(), &identities[i]);
    }
    done += whole;
    if (done < count) found[done++] = false;
  }
}

bool CodeReader::identity_of(const unsigned char* code, CodeIdentity* identity) const noexcept {
  identity->type = field<std::uint64_t>(code, offsets_.object_type);
  identity->file = field<std::uint64_t>(code, offsets_.code_filename);
  identity->name = field<std::uint64_t>(code, offsets_.code_name);
  identity->qualname = offsets_.code_qualname == GILKNOCKER_NONE
                           ? identity->name
                           : field<std::uint64_t>(code, offsets_.code_qualname);
  identity->linetable = field<std::uint64_t>(code, offsets_.code_linetable);
  identity->count =
      offsets_.code_count == GILKNOCKER_NONE ? 0 : field<std::uint64_t>(code, offsets_.code_count);
  identity->first_line = field<std::int32_t>(code, offsets_.code_firstlineno);
  identity->version = offsets_.code_version == GILKNOCKER_NONE
                          ? 0
                          : field<std::uint32_t>(code, offsets_.code_version);
  if (!has_references(field<std::uint64_t>(code, offsets_.object_type - 8))) return false;
  return offsets_.code_type == 0 || identity->type == offsets_.code_type;
}

bool CodeReader::name(const RawFrame& frame, FrameName* name, CodeIdentity* identity) noexcept {
  bool found = false;
  identify(&frame.code, 1, identity, &found);
  return found && this->name(frame, *identity, name);
}

bool CodeReader::name(const RawFrame& frame, const CodeIdentity& identity,
                      FrameName* name) noexcept {
  if (offsets_.code_count != GILKNOCKER_NONE && frame.instruction >= 0 &&
      static_cast<std::uint64_t>(frame.instruction) >= 2 * identity.count) {
    return false;  // an instruction of another code object
  }
  const std::array<Piece, 4> pieces = {
      function_.piece(identity.qualname, offsets_.string_ascii_data),
      file_.piece(identity.file, offsets_.string_ascii_data),
      table_.piece(identity.linetable, offsets_.bytes_data),
      {frame.code, codes_[0].data(), offsets_.code_size}};
  CodeIdentity after;
  if (memory_.read_pieces(pieces.data(), pieces.size()) != pieces.size() ||
      !identity_of(codes_[0].data(), &after) || after != identity) {
    return false;
  }
  read_more_ = false;
  if (!string(function_, name->function.bytes.data(), name->function.bytes.size(),
              &name->function.size) ||
      !string(file_, name->file.bytes.data(), name->file.bytes.size(), &name->file.size) ||
      !line(table_, frame, identity, &name->line)) {
    return false;
  }
  if (!read_more_) return true;
  bool found = false;
  identify(&frame.code, 1, &after, &found);
  return found && after == identity;
}

const unsigned char* CodeReader::bytes_of(const Beginning& object, std::uint64_t offset,
                                          std::size_t size) noexcept {
  if (offset <= object.size && size <= object.size - offset) return object.bytes.data() + offset;
  read_more_ = true;
  return memory_.read(object.address + offset, bytes_.data(), size) ? bytes_.data() : nullptr;
}

// A compact string, as all names are that a compiler made.
bool CodeReader::string(const Beginning& object, char* to, std::size_t room,
                        std::size_t* size) noexcept {
  const auto length = field<std::int64_t>(object.bytes.data(), offsets_.string_length);
  const auto state = field<std::uint32_t>(object.bytes.data(), offsets_.string_state);
  const unsigned kind = (state >> 2) & 7U;
  const bool compact = (state & 32U) != 0;
  const bool ascii = (state & 64U) != 0;
  if (!compact || length < 0 || (kind != 1 && kind != 2 && kind != 4)) return false;
  // A letter is a byte at least: what lies further from the end has no room in any case.
  const auto points = static_cast<std::uint64_t>(length);
  const std::uint64_t skipped = points > room ? points - room : 0;
  const auto kept = static_cast<std::size_t>(points - skipped);
  const std::uint64_t begin = ascii ? offsets_.string_ascii_data : offsets_.string_other_data;
  const unsigned char* const data = bytes_of(object, begin + skipped * kind, kept * kind);
  if (data == nullptr) return false;
  *size = 0;
  std::size_t first = kept;
  std::size_t bytes = 0;
  std::array<char, 4> encoded;
  while (first != 0) {
    const std::size_t more = encode(point_at(data, first - 1, kind), encoded.data());
    if (bytes + more > room) break;
    bytes += more;
    --first;
  }
  for (std::size_t i = first; i < kept; ++i) {
    *size += encode(point_at(data, i, kind), to + *size);
  }
  return true;
}

bool CodeReader::line(const Beginning& table, const RawFrame& frame, const CodeIdentity& identity,
                      std::int32_t* line) noexcept {
  const auto length = field<std::int64_t>(table.bytes.data(), offsets_.bytes_length);
  if (length < 0) return false;
  // A longer table is of a function of some hundred thousand lines: its beginning is what we know.
  const std::size_t size = std::min(static_cast<std::size_t>(length), bytes_.size());
  const unsigned char* const bytes = bytes_of(table, offsets_.bytes_data, size);
  if (bytes == nullptr) return false;
  *line = line_of(static_cast<gilknocker_line_table>(offsets_.line_table), {bytes, size},
                  identity.first_line, frame.instruction);
  return true;
}

}  // namespace gilknocker
