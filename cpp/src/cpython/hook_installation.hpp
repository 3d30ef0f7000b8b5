// Puts the hooks in: which pointers of the interpreter are redirected, and which of its condition
// variables mean what.
//
// Thread safety: with the GIL held. calibrate() lets go of it and takes it again.
#pragma once

namespace gilknocker::gil_hooks {

// Counting needs to see the signals, tracing the waits too.
enum class Calls : unsigned char { kSignal, kWaits };

// Redirects them, if nobody has done so before: each hold() that returns null is followed by a
// release(). Else it returns why they cannot be redirected.
const char* hold(Calls calls);
void release(Calls calls) noexcept;
// In a forked child: nobody holds any.
void release_all() noexcept;
// Finds out which condition variable is which. Null, or why not. REQUIRES: hold(Calls::kSignal)
const char* calibrate();

}  // namespace gilknocker::gil_hooks
