#include "gilknocker/real_function.hpp"

#include "elf_tables.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <cstring>

namespace gilknocker {
namespace {

struct Search {
  const char* symbol;
  const void* caller;
  RealFunction result;
  bool in_executable = true;  // it comes first
};

int visit(dl_phdr_info* object, std::size_t, void* data) {
  Search& search = *static_cast<Search*>(data);
  const bool calls = elf::segment_at(*object, search.caller) != nullptr;
  if (calls || search.in_executable) {
    elf::for_each_address(
        *object, [&](const ElfW(Rela) & entry, const ElfW(Sym) & symbol, const char* name) {
          if (std::strcmp(name, search.symbol) != 0) return;
          if (calls && elf::is_of_calls(entry)) {
            void* const code = *reinterpret_cast<void**>(object->dlpi_addr + entry.r_offset);
            if (elf::segment_at(*object, code) == nullptr) search.result.code = code;
          }
          // Not defined there, and yet it has an address.
          if (search.in_executable && symbol.st_shndx == SHN_UNDEF && symbol.st_value != 0) {
            search.result.stub = reinterpret_cast<void*>(object->dlpi_addr + symbol.st_value);
          }
        });
  }
  search.in_executable = false;
  return 0;
}

}  // namespace

RealFunction real_function(const char* symbol, const void* caller) {
  Search search{symbol, caller, {}};
  dl_iterate_phdr(&visit, &search);
  return search.result;
}

}  // namespace gilknocker

#endif
