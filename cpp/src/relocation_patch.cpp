#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>

namespace gilknocker {
namespace {

bool is_address(std::uint64_t type) noexcept {
#if defined(__x86_64__)
  return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT || type == R_X86_64_64;
#else
  return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT || type == R_AARCH64_ABS64;
#endif
}

bool contains(const dl_phdr_info& object, const void* address) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = object.dlpi_phdr[i];
    const std::uintptr_t start = object.dlpi_addr + segment.p_vaddr;
    if (segment.p_type == PT_LOAD && at >= start && at < start + segment.p_memsz) return true;
  }
  return false;
}

// What is needed of an object's dynamic section.
struct Tables {
  struct Relocations {
    const ElfW(Rela) * entries = nullptr;
    std::size_t bytes = 0;
  };
  Relocations lazy, other;
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
};

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

Tables tables_of(const ElfW(Dyn) * entry, ElfW(Addr) base) noexcept {
  Tables tables;
  for (; entry->d_tag != DT_NULL; ++entry) {
    switch (entry->d_tag) {
      case DT_JMPREL:
        tables.lazy.entries = at_address<ElfW(Rela)>(base + entry->d_un.d_ptr);
        break;
      case DT_PLTRELSZ:
        tables.lazy.bytes = entry->d_un.d_val;
        break;
      case DT_RELA:
        tables.other.entries = at_address<ElfW(Rela)>(base + entry->d_un.d_ptr);
        break;
      case DT_RELASZ:
        tables.other.bytes = entry->d_un.d_val;
        break;
      case DT_SYMTAB:
        tables.symbols = at_address<ElfW(Sym)>(base + entry->d_un.d_ptr);
        break;
      case DT_STRTAB:
        tables.names = at_address<char>(base + entry->d_un.d_ptr);
        break;
      default:
        break;
    }
  }
  return tables;
}

struct Found {
  void** address;
  const RelocationPatch::Redirection* redirection;
};

// Filled in while dl_iterate_phdr() holds the loader's lock.
struct Search {
  const void* code;
  const std::vector<RelocationPatch::Redirection>* redirections;
  std::vector<Found> found;
  bool foreign = false;
};

void search_table(const dl_phdr_info& object, const Tables& tables,
                  const Tables::Relocations& table, Search* search) {
  for (std::size_t i = 0; i < table.bytes / sizeof *table.entries; ++i) {
    const ElfW(Rela) & entry = table.entries[i];
    if (!is_address(ELF64_R_TYPE(entry.r_info)) || entry.r_addend != 0) continue;
    const char* const name = tables.names + tables.symbols[ELF64_R_SYM(entry.r_info)].st_name;
    for (const RelocationPatch::Redirection& one : *search->redirections) {
      if (std::strcmp(name, one.symbol) != 0) continue;
      auto** const address = reinterpret_cast<void**>(object.dlpi_addr + entry.r_offset);
      void* const value = __atomic_load_n(address, __ATOMIC_RELAXED);
      // An address inside the object is the stub that binds at the first call; our own hook was
      // left behind by somebody who had taken our place, and is gone.
      search->foreign |= value != one.genuine && value != one.hook && !contains(object, value);
      search->found.push_back({address, &one});
    }
  }
}

int visit(dl_phdr_info* object, std::size_t, void* data) {
  Search* const search = static_cast<Search*>(data);
  if (!contains(*object, search->code)) return 0;
  for (int i = 0; i < object->dlpi_phnum; ++i) {
    const ElfW(Phdr) & segment = object->dlpi_phdr[i];
    if (segment.p_type != PT_DYNAMIC) continue;
    const Tables tables =
        tables_of(at_address<ElfW(Dyn)>(object->dlpi_addr + segment.p_vaddr), base_of(*object));
    if (tables.symbols == nullptr || tables.names == nullptr) continue;
    search_table(*object, tables, tables.lazy, search);
    search_table(*object, tables, tables.other, search);
  }
  return 1;
}

// As PROT_ bits, or -1. The maps tell the truth also of partial RELRO and of odd loaders.
int protection_of(const void* address) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(std::fopen("/proc/self/maps", "re"),
                                                             &std::fclose);
  char line[512];  // the rest of a longer line does not parse, and is passed over
  const auto at = reinterpret_cast<std::uintptr_t>(address);
  while (maps && std::fgets(line, sizeof line, maps.get()) != nullptr) {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    char r = 0, w = 0, x = 0;
    if (std::sscanf(line, "%lx-%lx %c%c%c", &start, &end, &r, &w, &x) == 5 && at >= start &&
        at < end) {
      return (r == 'r' ? PROT_READ : 0) | (w == 'w' ? PROT_WRITE : 0) | (x == 'x' ? PROT_EXEC : 0);
    }
  }
  return -1;
}

}  // namespace

bool RelocationPatch::write(const Slot& slot, void* value) noexcept {
  const auto size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const page =
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(slot.address) & ~(size - 1));
  const bool read_only = (slot.protection & PROT_WRITE) == 0;
  if (read_only && mprotect(page, size, slot.protection | PROT_WRITE) != 0) return false;
  __atomic_store_n(slot.address, value, __ATOMIC_RELAXED);
  if (read_only) mprotect(page, size, slot.protection);
  return true;
}

const char* RelocationPatch::redirect_all() {
  for (Slot& slot : slots_) {
    slot.protection = protection_of(slot.address);
    if (slot.protection < 0) return "/proc/self/maps cannot be read";
  }
  for (const Slot& slot : slots_) {
    if (!write(slot, slot.hook)) return "the interpreter's relocations cannot be made writable";
  }
  return nullptr;
}

const char* RelocationPatch::install(const void* code,
                                     const std::vector<Redirection>& redirections) {
  Search search{code, &redirections, {}, false};
  dl_iterate_phdr(&visit, &search);
  for (const Redirection& one : redirections) {
    if (std::none_of(search.found.begin(), search.found.end(),
                     [&one](const Found& found) { return found.redirection == &one; })) {
      return "the interpreter does not call pthread_cond_* through relocations (a static build?)";
    }
  }
  if (search.foreign) return "the interpreter's pthread_cond_* are redirected by somebody else";
  slots_.clear();
  for (const Found& found : search.found) {
    void* const before = __atomic_load_n(found.address, __ATOMIC_RELAXED);
    const RelocationPatch::Redirection& one = *found.redirection;
    slots_.push_back({found.address, before == one.hook ? one.genuine : before, one.hook, 0});
  }
  const char* const problem = redirect_all();
  if (problem != nullptr) remove();
  return problem;
}

bool RelocationPatch::remove() noexcept {
  bool all = true;
  for (const Slot& slot : slots_) {
    void* const value = __atomic_load_n(slot.address, __ATOMIC_RELAXED);
    if (value == slot.before) continue;  // never written
    all &= value == slot.hook && write(slot, slot.before);
  }
  slots_.clear();
  return all;
}

std::vector<const void*> RelocationPatch::slots() const {
  std::vector<const void*> addresses;
  for (const Slot& slot : slots_) addresses.push_back(slot.address);
  return addresses;
}

}  // namespace gilknocker

#else

namespace gilknocker {

const char* RelocationPatch::install(const void*, const std::vector<Redirection>&) {
  return "tracing needs Linux on x86-64 or aarch64";
}
bool RelocationPatch::remove() noexcept { return true; }
std::vector<const void*> RelocationPatch::slots() const { return {}; }

}  // namespace gilknocker

#endif
