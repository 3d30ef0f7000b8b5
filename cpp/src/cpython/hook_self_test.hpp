// Tries the hooks out, at the first call, on the calling thread and on one hand-over of the GIL.
//
// Thread safety: with the GIL held, which it lets go of and takes again.
#pragma once

namespace gilknocker::gil_hooks {

// Null where takes and drops can be told from the interpreter's signals, else why not.
const char* try_signals();
// Null where the GIL can be traced, else why not: a sentence without its full stop. Throws
// std::exception without memory, or where kMostBooks run.
const char* try_out();

}  // namespace gilknocker::gil_hooks
