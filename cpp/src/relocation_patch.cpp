#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>

#include "elf_tables.hpp"

namespace gilknocker {
namespace {

struct Found {
  void** address;
  int read_only;  // the protection of its page where it must not be written, as PROT_ bits
  const RelocationPatch::Redirection* redirection;
};

// Filled in while dl_iterate_phdr() holds the loader's lock.
struct Search {
  const void* code;
  const std::vector<RelocationPatch::Redirection>* redirections;
  std::vector<Found> found;
  bool foreign = false;
};

int read_only_protection(const dl_phdr_info& object, const void* address) noexcept {
  const ElfW(Phdr)* const segment = elf::segment_at(object, address);
  return PROT_READ | (segment != nullptr && (segment->p_flags & PF_X) != 0 ? PROT_EXEC : 0);
}

int visit(dl_phdr_info* object, std::size_t, void* data) {
  Search& search = *static_cast<Search*>(data);
  if (elf::segment_at(*object, search.code) == nullptr) return 0;
  elf::for_each_address(*object, [&](const ElfW(Rela) & entry, const auto&, const char* name) {
    for (const RelocationPatch::Redirection& one : *search.redirections) {
      if (std::strcmp(name, one.symbol) != 0) continue;
      auto** const address = reinterpret_cast<void**>(object->dlpi_addr + entry.r_offset);
      void* const value = __atomic_load_n(address, __ATOMIC_RELAXED);
      // An address inside the object is the stub that binds at the first call; our own hook was
      // left behind by somebody who had taken our place, and is gone.
      search.foreign |= value != one.function.code && value != one.function.stub &&
                        value != one.hook && elf::segment_at(*object, value) == nullptr;
      search.found.push_back({address, read_only_protection(*object, address), &one});
    }
  });
  return 1;
}

// Asked of the kernel, which answers in a microsecond: that a page is what the loader made of it is
// not sure, for others may have changed it, and to read the maps takes longer the more there are.
// The kernel ors nothing into the word, atomically, and wakes nobody: it fails where it must not
// be written. Nothing if that is not to be found out.
std::optional<bool> is_writable(void* address) noexcept {
  std::uint32_t nobody = 0;  // waits for it
  const long answer = syscall(SYS_futex, &nobody, FUTEX_WAKE_OP_PRIVATE, 0, nullptr, address,
                              FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0));
  if (answer >= 0) return true;
  if (errno == EFAULT) return false;
  return std::nullopt;
}

}  // namespace

// Nothing is remembered of a page: others may protect it and lift that, between two of our writes.
bool RelocationPatch::write(const Slot& slot, void* value) noexcept {
  const auto size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  auto* const page =
      reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(slot.address) & ~(size - 1));
  const std::optional<bool> writable = is_writable(slot.address);
  if (!writable) return false;
  if (!*writable && mprotect(page, size, slot.read_only | PROT_WRITE) != 0) return false;
  __atomic_store_n(slot.address, value, __ATOMIC_RELAXED);
  if (!*writable) mprotect(page, size, slot.read_only);
  return true;
}

const char* RelocationPatch::redirect_all() {
  for (const Slot& slot : slots_) {
    if (!write(slot, slot.hook)) return "the interpreter's relocations cannot be made writable";
  }
  return nullptr;
}

const char* RelocationPatch::install(const void* code,
                                     const std::vector<Redirection>& redirections) {
  for (const Redirection& one : redirections) {
    if (code == nullptr || one.function.code == nullptr) {
      return "where the interpreter's pthread_cond_* really are is not to be found out";
    }
  }
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
    void* const genuine = before == one.hook ? one.function.code : before;
    slots_.push_back({found.address, genuine, one.hook, found.read_only});
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
