#include "elf_tables.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

namespace gilknocker::elf {
namespace {

template <typename T>
const T* at_address(ElfW(Addr) address) noexcept {
  return reinterpret_cast<const T*>(address);  // NOLINT: the loader's own way to say pointer
}

// glibc has made the addresses of a dynamic section absolute, musl has not.
ElfW(Addr) base_of(const dl_phdr_info& object) noexcept {
#if defined(__GLIBC__)
  static_cast<void>(object);
  return 0;
#else
  return object.dlpi_addr;
#endif
}

const ElfW(Dyn) * dynamic_section(const dl_phdr_info& object) noexcept {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = object.dlpi_phdr[i];
    if (segment.p_type == PT_DYNAMIC) {
      return at_address<ElfW(Dyn)>(object.dlpi_addr + segment.p_vaddr);
    }
  }
  return nullptr;
}

}  // namespace

const ElfW(Phdr) * segment_at(const dl_phdr_info& object, const void* address) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = object.dlpi_phdr[i];
    const std::uintptr_t start = object.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && at >= start && at < start + segment.p_memsz) return &segment;
  }
  return nullptr;
}

Tables::Tables(const dl_phdr_info& object) noexcept {
  const ElfW(Dyn)* entry = dynamic_section(object);
  if (entry == nullptr) return;
  const ElfW(Addr) base = base_of(object);
  for (; entry->d_tag != DT_NULL; ++entry) {
    switch (entry->d_tag) {
      case DT_JMPREL:
        lazy.entries = at_address<ElfW(Rela)>(base + entry->d_un.d_ptr);
        break;
      case DT_PLTRELSZ:
        lazy.bytes = entry->d_un.d_val;
        break;
      case DT_RELA:
        other.entries = at_address<ElfW(Rela)>(base + entry->d_un.d_ptr);
        break;
      case DT_RELASZ:
        other.bytes = entry->d_un.d_val;
        break;
      case DT_SYMTAB:
        symbols = at_address<ElfW(Sym)>(base + entry->d_un.d_ptr);
        break;
      case DT_STRTAB:
        names = at_address<char>(base + entry->d_un.d_ptr);
        break;
      default:
        break;
    }
  }
}

#if defined(__x86_64__)
constexpr ElfW(Xword) kJumpSlot = R_X86_64_JUMP_SLOT;
constexpr ElfW(Xword) kGlobal = R_X86_64_GLOB_DAT;
constexpr ElfW(Xword) kAbsolute = R_X86_64_64;
#else
constexpr ElfW(Xword) kJumpSlot = R_AARCH64_JUMP_SLOT;
constexpr ElfW(Xword) kGlobal = R_AARCH64_GLOB_DAT;
constexpr ElfW(Xword) kAbsolute = R_AARCH64_ABS64;
#endif

bool is_of_calls(const ElfW(Rela) & entry) noexcept {
  return ELF64_R_TYPE(entry.r_info) == kJumpSlot && entry.r_addend == 0;
}

bool is_address(const ElfW(Rela) & entry) noexcept {
  const auto type = ELF64_R_TYPE(entry.r_info);
  return (type == kJumpSlot || type == kGlobal || type == kAbsolute) && entry.r_addend == 0;
}

}  // namespace gilknocker::elf

#endif
