// Thread-local variables for what is asked inside CPython's lock, where nothing may be allocated.
//
// glibc allocates in all models but initial-exec, when a thread comes to such a variable for the
// first time. musl never does, and refuses to load a library with initial-exec ones once it runs.
#pragma once

#include <climits>  // for __GLIBC__

#if defined(__GLIBC__)
#define GILKNOCKER_HOOK_LOCAL constinit thread_local __attribute__((tls_model("initial-exec")))
#else
#define GILKNOCKER_HOOK_LOCAL constinit thread_local
#endif
