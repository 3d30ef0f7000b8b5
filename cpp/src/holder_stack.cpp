#include "gilknocker/holder_stack.hpp"

namespace gilknocker {

// Who takes the GIL says first that it is locked, and then by whom: of one look alone the answer
// may be who had it before. Whether anybody has it the first look says: to count what a later one
// finds would be to see each hold begin too early.
std::optional<HolderMark> HolderStack::settled_mark() const noexcept {
  std::optional<HolderMark> mark = gil_.mark();
  for (int i = 0; mark && i < kSettling; ++i) {
    const std::optional<HolderMark> again = gil_.mark();
    if (!again || again == mark) break;
    mark = again;
  }
  return mark;
}

StackLook HolderStack::look(RawStack* stack, HolderMark* mark) noexcept {
  const std::optional<HolderMark> before = settled_mark();
  if (!before) return StackLook::kFree;
  *mark = *before;
  for (int i = 0; i < kTries; ++i) {
    if (reader_.read(mark->state, stack) == StackReader::Outcome::kWhole) return StackLook::kWhole;
  }
  return StackLook::kUnreadable;
}

}  // namespace gilknocker
