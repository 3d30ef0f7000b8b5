#define _GNU_SOURCE
#include "relocations.h"

#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define IS_ADDRESS_RELOCATION(type) \
  ((type) == R_X86_64_JUMP_SLOT || (type) == R_X86_64_GLOB_DAT || (type) == R_X86_64_64)
#elif defined(__aarch64__)
#define IS_ADDRESS_RELOCATION(type) \
  ((type) == R_AARCH64_JUMP_SLOT || (type) == R_AARCH64_GLOB_DAT || (type) == R_AARCH64_ABS64)
#else
#error "the oracle knows the relocations of x86-64 and aarch64"
#endif

struct slot {
  _Atomic(cond_signal)* address;
  cond_signal original;
};

static struct slot slots[8];
static size_t slot_count;
static const void* foreign;

const void* foreign_target(void) { return foreign; }

size_t relocation_count(void) { return slot_count; }

const void* relocation_address(size_t index) { return (const void*)slots[index].address; }

/* ---- finding ------------------------------------------------------------------------------ */

struct search {
  const void* code;
  enum found found;
};

static bool contains(const struct dl_phdr_info* object, const void* address) {
  uintptr_t at = (uintptr_t)address;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr)* segment = &object->dlpi_phdr[i];
    uintptr_t start = object->dlpi_addr + segment->p_vaddr;
    if (segment->p_type == PT_LOAD && at >= start && at < start + segment->p_memsz) {
      return true;
    }
  }
  return false;
}

static enum found add_slot(const struct dl_phdr_info* object, ElfW(Addr) offset) {
  _Atomic(cond_signal)* address = (_Atomic(cond_signal)*)(object->dlpi_addr + offset);
  cond_signal value = atomic_load(address);
  /* An address inside the object is the stub that binds lazily, at the first call. */
  bool untouched = value == pthread_cond_signal || contains(object, (const void*)value);
  if (!untouched) {
    foreign = (const void*)value;
  }
  if (!untouched || slot_count == sizeof slots / sizeof slots[0]) {
    return FOUND_FOREIGN;
  }
  slots[slot_count++] = (struct slot){address, value};
  return FOUND;
}

/* glibc has made the addresses of the dynamic section absolute, musl has not. */
static const void* absolute(const struct dl_phdr_info* object, ElfW(Addr) address) {
#if defined(__GLIBC__)
  (void)object;
  return (const void*)address;
#else
  return (const void*)(object->dlpi_addr + address);
#endif
}

static enum found add_slots(const struct dl_phdr_info* object, const ElfW(Dyn) * dynamic) {
  const ElfW(Rela) * tables[2] = {NULL, NULL};
  size_t sizes[2] = {0, 0};
  const ElfW(Sym)* symbols = NULL;
  const char* names = NULL;
  for (; dynamic->d_tag != DT_NULL; dynamic++) {
    switch (dynamic->d_tag) {
      case DT_JMPREL:
        tables[0] = absolute(object, dynamic->d_un.d_ptr);
        break;
      case DT_PLTRELSZ:
        sizes[0] = dynamic->d_un.d_val;
        break;
      case DT_RELA:
        tables[1] = absolute(object, dynamic->d_un.d_ptr);
        break;
      case DT_RELASZ:
        sizes[1] = dynamic->d_un.d_val;
        break;
      case DT_SYMTAB:
        symbols = absolute(object, dynamic->d_un.d_ptr);
        break;
      case DT_STRTAB:
        names = absolute(object, dynamic->d_un.d_ptr);
        break;
      default:
        break;
    }
  }
  enum found found = FOUND_NONE;
  for (int t = 0; t < 2; t++) {
    for (size_t i = 0; i < sizes[t] / sizeof *tables[t] && found != FOUND_FOREIGN; i++) {
      const ElfW(Rela)* entry = &tables[t][i];
      const char* name = names + symbols[ELF64_R_SYM(entry->r_info)].st_name;
      if (IS_ADDRESS_RELOCATION(ELF64_R_TYPE(entry->r_info)) && entry->r_addend == 0 &&
          strcmp(name, "pthread_cond_signal") == 0) {
        found = add_slot(object, entry->r_offset);
      }
    }
  }
  return found;
}

static int visit(struct dl_phdr_info* object, size_t size, void* data) {
  (void)size;
  struct search* search = data;
  if (!contains(object, search->code)) {
    return 0;
  }
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr)* segment = &object->dlpi_phdr[i];
    if (segment->p_type == PT_DYNAMIC) {
      search->found = add_slots(object, (const void*)(object->dlpi_addr + segment->p_vaddr));
    }
  }
  return 1;
}

enum found find_relocations(const void* code) {
  struct search search = {.code = code, .found = FOUND_NONE};
  slot_count = 0;
  foreign = NULL;
  dl_iterate_phdr(visit, &search);
  return search.found;
}

/* ---- redirecting -------------------------------------------------------------------------- */

/* As PROT_ bits, or -1. The maps tell the truth also of partial RELRO and of odd loaders. */
static int protection_of(const void* address) {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) {
    return -1;
  }
  char line[512]; /* the rest of a longer line does not parse, and is passed over */
  int protection = -1;
  while (protection < 0 && fgets(line, sizeof line, maps) != NULL) {
    unsigned long start, end;
    char r, w, x;
    if (sscanf(line, "%lx-%lx %c%c%c", &start, &end, &r, &w, &x) == 5 &&
        (uintptr_t)address >= start && (uintptr_t)address < end) {
      protection =
          (r == 'r' ? PROT_READ : 0) | (w == 'w' ? PROT_WRITE : 0) | (x == 'x' ? PROT_EXEC : 0);
    }
  }
  fclose(maps);
  return protection;
}

static bool write_slot(const struct slot* slot, cond_signal value) {
  size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
  void* page = (void*)((uintptr_t)slot->address & ~(page_size - 1));
  int protection = protection_of((const void*)slot->address);
  bool read_only = !(protection & PROT_WRITE);
  if (protection < 0 || (read_only && mprotect(page, page_size, protection | PROT_WRITE) != 0)) {
    return false;
  }
  atomic_store(slot->address, value);
  return !read_only || mprotect(page, page_size, protection) == 0;
}

int restore_relocations(cond_signal hook) {
  bool all = true;
  for (size_t i = 0; i < slot_count; i++) {
    all &= atomic_load(slots[i].address) == hook && write_slot(&slots[i], slots[i].original);
  }
  return all ? 0 : -1;
}

int redirect_relocations(cond_signal hook) {
  for (size_t i = 0; i < slot_count; i++) {
    if (!write_slot(&slots[i], hook)) {
      restore_relocations(hook);
      return -1;
    }
  }
  return 0;
}
