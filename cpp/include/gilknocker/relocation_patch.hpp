// Redirects what one loaded object calls: its relocated pointers to some functions, and back.
//
// The way of memray with malloc: after loading, calls into other objects go through pointers in the
// object's relocation tables (ELF gABI, chapter 5; the psABI of the machine). They are overwritten,
// in one object only. A pointer that is neither the function itself nor a stub of it (that binds it
// at the first call, or stands for it) belongs to somebody else, and is never overwritten.
//
// Thread safety: one thread at a time (the caller holds the GIL). The pointers themselves are read
// by any thread that makes such a call: they are written by one atomic store, relaxed, for the old
// and the new function may both be called at any time.
#pragma once

#include <cstddef>
#include <vector>

#include "gilknocker/real_function.hpp"

// Whether it is written for this system: elsewhere install() says that it is not.
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
#define GILKNOCKER_HAS_RELOCATION_PATCH 1
#else
#define GILKNOCKER_HAS_RELOCATION_PATCH 0
#endif

namespace gilknocker {

class RelocationPatch {
 public:
  struct Redirection {
    const char* symbol;
    RealFunction function;
    void* hook;
  };

  // Null, or why it cannot be; nothing is changed then. `code` is an address in the object.
  const char* install(const void* code, const std::vector<Redirection>& redirections);
  // Puts back what was there. A pointer that somebody else has changed since is left alone, which
  // is safe as long as the hooks stay loaded; false then.
  bool remove() noexcept;

  // The addresses of the redirected pointers.
  std::vector<const void*> slots() const;

 private:
  struct Slot {
    void** address;
    void* before;
    void* hook;
    int read_only;  // the protection of its page, where it must not be written
  };
  const char* redirect_all();
  static bool write(const Slot& slot, void* value) noexcept;

  std::vector<Slot> slots_;
};

}  // namespace gilknocker
