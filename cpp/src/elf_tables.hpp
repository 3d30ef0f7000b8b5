// What a loaded object says of itself: where it lies, and which pointers the loader filled in.
//
// ELF gABI, chapter 5, and the psABI of the machine. Everything here is read as dl_iterate_phdr()
// shows it, while the loader's lock is held.
#pragma once

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <link.h>

#include <cstddef>
#include <cstdint>

namespace gilknocker::elf {

// The loaded segment at that address; null if it is none of the object's.
const ElfW(Phdr) * segment_at(const dl_phdr_info& object, const void* address) noexcept;

// What is needed of an object's dynamic section.
struct Tables {
  struct Relocations {
    const ElfW(Rela) * entries = nullptr;
    std::size_t bytes = 0;
  };
  Relocations lazy, other;
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;

  explicit Tables(const dl_phdr_info& object) noexcept;  // empty if it has none
};

// Whether it makes a pointer the address of a symbol.
bool is_address(const ElfW(Rela) & entry) noexcept;

// Whether it serves calls by name only.
bool is_of_calls(const ElfW(Rela) & entry) noexcept;

// Calls use(entry, symbol, name) for each such pointer of the object.
template <typename Use>
void for_each_address(const dl_phdr_info& object, Use use) {
  const Tables tables(object);
  if (tables.symbols == nullptr || tables.names == nullptr) return;
  for (const Tables::Relocations& table : {tables.lazy, tables.other}) {
    for (std::size_t i = 0; i < table.bytes / sizeof *table.entries; ++i) {
      const ElfW(Rela) & entry = table.entries[i];
      if (!is_address(entry)) continue;
      const ElfW(Sym) & symbol = tables.symbols[ELF64_R_SYM(entry.r_info)];
      use(entry, symbol, tables.names + symbol.st_name);
    }
  }
}

}  // namespace gilknocker::elf

#endif
