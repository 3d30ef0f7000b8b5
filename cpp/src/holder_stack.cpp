#include "gilknocker/holder_stack.hpp"

#include <optional>

namespace gilknocker {

StackLook HolderStack::look(RawStack* stack, HolderMark* mark) noexcept {
  const std::optional<HolderMark> before = gil_.mark();
  if (!before) return StackLook::kFree;
  *mark = *before;
  for (int i = 0; i < kTries; ++i) {
    const StackReader::Outcome outcome = reader_.read(mark->state, stack);
    if (gil_.mark() != before) return StackLook::kMoved;
    if (outcome == StackReader::Outcome::kWhole) return StackLook::kWhole;
  }
  return StackLook::kUnreadable;
}

}  // namespace gilknocker
