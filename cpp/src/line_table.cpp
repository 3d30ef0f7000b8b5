#include "gilknocker/line_table.hpp"

#include <cstddef>

namespace gilknocker {
namespace {

using Table = std::span<const unsigned char>;

// A line outside of what a line can be is of bytes that are no line table.
std::int32_t checked(std::int64_t line) noexcept {
  return line > 0 && line <= INT32_MAX ? static_cast<std::int32_t>(line) : kNoLine;
}

std::int32_t line_by_pairs(Table table, std::int64_t line, std::int64_t at) noexcept {
  constexpr int kNothing = -128;
  std::int64_t end = 0;
  for (std::size_t i = 0; i + 1 < table.size(); i += 2) {
    const int difference = static_cast<signed char>(table[i + 1]);
    if (difference != kNothing) line += difference;
    end += table[i];
    if (at < end) return difference == kNothing ? kNoLine : checked(line);
  }
  return kNoLine;
}

// Six bits a byte, the least first; bit 6 says that more follow.
std::uint64_t varint(Table table, std::size_t* at) noexcept {
  std::uint64_t value = 0;
  for (unsigned shift = 0; *at < table.size() && shift < 60; shift += 6) {
    const unsigned char byte = table[(*at)++];
    value |= std::uint64_t{byte & 63U} << shift;
    if ((byte & 64U) == 0) break;
  }
  return value;
}

std::int64_t signed_varint(Table table, std::size_t* at) noexcept {
  const std::uint64_t value = varint(table, at);
  const auto half = static_cast<std::int64_t>(value >> 1);
  return (value & 1) != 0 ? -half : half;
}

std::int32_t line_by_locations(Table table, std::int64_t line, std::int64_t at) noexcept {
  constexpr unsigned kOneLine = 10;  // and 11 and 12: the line's difference is code - 10
  constexpr unsigned kNoColumns = 13;
  constexpr unsigned kLong = 14;
  constexpr unsigned kNothing = 15;
  std::int64_t end = 0;
  for (std::size_t i = 0; i < table.size();) {
    const unsigned first = table[i++];
    if ((first & 0x80U) == 0) return kNoLine;  // each entry begins with this bit, and only that
    const unsigned code = (first >> 3) & 15U;
    if (code >= kOneLine && code < kNoColumns) line += code - kOneLine;
    if (code == kNoColumns || code == kLong) line += signed_varint(table, &i);
    end += std::int64_t{2} * ((first & 7U) + 1);
    if (at < end) return code == kNothing ? kNoLine : checked(line);
    while (i < table.size() && (table[i] & 0x80U) == 0) ++i;
  }
  return kNoLine;
}

}  // namespace

std::int32_t line_of(gilknocker_line_table format, Table table, std::int32_t first_line,
                     std::int32_t at) noexcept {
  if (at < 0) return checked(first_line);
  return format == GILKNOCKER_LINES_BY_PAIRS ? line_by_pairs(table, first_line, at)
                                             : line_by_locations(table, first_line, at);
}

}  // namespace gilknocker
