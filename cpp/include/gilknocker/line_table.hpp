// Which line an instruction belongs to, from the bytes of a code object's co_linetable.
//
// The formats are CPython's own: pairs on 3.10 (PEP 626), location entries since 3.11 (PEP 657).
// The bytes may be anything: nothing is read beyond them.
//
// Thread safety: no state.
#pragma once

#include <cstdint>
#include <span>

#include "gilknocker/stack_offsets.h"

namespace gilknocker {

inline constexpr std::int32_t kNoLine = 0;

// The line of the instruction `at` bytes into the code; `first_line` before the first instruction,
// kNoLine for one that belongs to no line, or that the table does not reach.
std::int32_t line_of(gilknocker_line_table format, std::span<const unsigned char> table,
                     std::int32_t first_line, std::int32_t at) noexcept;

}  // namespace gilknocker
