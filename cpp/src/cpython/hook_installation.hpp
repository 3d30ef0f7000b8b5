// Puts the hooks in: which pointers of the interpreter are redirected, and which of its condition
// variables mean what.
//
// Thread safety: with the GIL held. calibrate() lets go of it and takes it again.
#pragma once

namespace gilknocker::gil_hooks {

// Null, or why it cannot be.
const char* install();
void uninstall() noexcept;
// Finds out which condition variable is which. Null, or why not. REQUIRES: installed
const char* calibrate();

}  // namespace gilknocker::gil_hooks
