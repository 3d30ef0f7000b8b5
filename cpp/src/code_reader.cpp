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

}  // namespace

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
  return offsets_.code_type == 0 || identity->type == offsets_.code_type;
}

bool CodeReader::name(const RawFrame& frame, FrameName* name, CodeIdentity* identity) noexcept {
  bool found = false;
  identify(&frame.code, 1, identity, &found);
  if (!found) return false;
  if (offsets_.code_count != GILKNOCKER_NONE && frame.instruction >= 0 &&
      static_cast<std::uint64_t>(frame.instruction) >= 2 * identity->count) {
    return false;  // an instruction of another code object
  }
  if (!string(identity->qualname, name->function.bytes.data(), name->function.bytes.size(),
              &name->function.size) ||
      !string(identity->file, name->file.bytes.data(), name->file.bytes.size(), &name->file.size) ||
      !line(frame, *identity, &name->line)) {
    return false;
  }
  CodeIdentity after;
  identify(&frame.code, 1, &after, &found);
  return found && after == *identity;
}

// A compact string, as all names are that a compiler made.
bool CodeReader::string(std::uint64_t address, char* to, std::size_t room,
                        std::size_t* size) noexcept {
  constexpr std::size_t kHead = 64;
  std::array<unsigned char, kHead> head;
  assert(offsets_.string_ascii_data <= kHead);
  if (!memory_.read(address, head.data(), offsets_.string_ascii_data)) return false;
  const auto length = field<std::int64_t>(head.data(), offsets_.string_length);
  const auto state = field<std::uint32_t>(head.data(), offsets_.string_state);
  const unsigned kind = (state >> 2) & 7U;
  const bool compact = (state & 32U) != 0;
  const bool ascii = (state & 64U) != 0;
  if (!compact || length < 0 || (kind != 1 && kind != 2 && kind != 4)) return false;
  // A letter is a byte at least: what lies further from the end has no room in any case.
  const auto points = static_cast<std::uint64_t>(length);
  const std::uint64_t skipped = points > room ? points - room : 0;
  const auto kept = static_cast<std::size_t>(points - skipped);
  const std::uint64_t data =
      address + (ascii ? offsets_.string_ascii_data : offsets_.string_other_data);
  if (kept != 0 && !memory_.read(data + skipped * kind, bytes_.data(), kept * kind)) return false;
  *size = 0;
  std::size_t first = kept;
  std::size_t bytes = 0;
  std::array<char, 4> encoded;
  while (first != 0) {
    const std::size_t more = encode(point_at(bytes_.data(), first - 1, kind), encoded.data());
    if (bytes + more > room) break;
    bytes += more;
    --first;
  }
  for (std::size_t i = first; i < kept; ++i) {
    *size += encode(point_at(bytes_.data(), i, kind), to + *size);
  }
  return true;
}

bool CodeReader::line(const RawFrame& frame, const CodeIdentity& identity,
                      std::int32_t* line) noexcept {
  std::int64_t length = 0;
  if (!memory_.read(identity.linetable + offsets_.bytes_length, &length) || length < 0) {
    return false;
  }
  // A longer table is of a function of some hundred thousand lines: its beginning is what we know.
  const std::size_t size = std::min(static_cast<std::size_t>(length), bytes_.size());
  if (size != 0 && !memory_.read(identity.linetable + offsets_.bytes_data, bytes_.data(), size)) {
    return false;
  }
  *line = line_of(static_cast<gilknocker_line_table>(offsets_.line_table), {bytes_.data(), size},
                  identity.first_line, frame.instruction);
  return true;
}

}  // namespace gilknocker
