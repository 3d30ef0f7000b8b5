#include "gilknocker/hook_clock.hpp"

namespace gilknocker {

HookClock::Source HookClock::find() noexcept { return Source::kSystem; }

}  // namespace gilknocker
