// Where a function really is, also where an executable has put a stub of its own in its place.
//
// An executable that is not position-independent, and takes the address of a library's function,
// has no pointer that the loader could fill in: the address is that of the executable's own stub
// for the call, and it is that for everybody in the process, so that all compare equal (psABI of
// x86-64, "Function Addresses"). A call through the stub goes by the executable's own relocation:
// a hook that stands there, and calls so, calls itself. Calls by name, through a procedure linkage
// table, do not: the loader leads them to the function.
//
// Thread safety: any thread. Takes the loader's lock.
#pragma once

namespace gilknocker {

struct RealFunction {
  void* code = nullptr;  // where calls by name lead; null if that is not to be found out
  void* stub = nullptr;  // the executable's that stands for it, or null
};

// `caller`: an address in an object that calls it by name, and was bound when it was loaded.
RealFunction real_function(const char* symbol, const void* caller);

}  // namespace gilknocker
