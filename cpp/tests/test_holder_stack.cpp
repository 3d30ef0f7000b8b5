// The stack of who holds the GIL, whoever takes it or lets go meanwhile.
#include <memory>
#include <optional>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/holder_stack.hpp"

namespace gilknocker {
namespace {

class FakeHolder final : public Gil {
 public:
  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override { return Look::kHeld; }
  std::optional<HolderMark> mark() const noexcept override {
    ++asked;
    return asked < changes_at ? now : later;
  }
  std::unique_ptr<OwnThreadState> open_state() override { return nullptr; }

  std::size_t state_size() const noexcept override { return kState; }

  static constexpr std::size_t kState = 96;
  std::optional<HolderMark> now = HolderMark{FakePython::kThread, 7};
  std::optional<HolderMark> later = now;
  int changes_at = 0;
  mutable int asked = 0;
};

// A frame is being made until the memory was read for the third time.
class SettlingMemory final : public Memory {
 public:
  explicit SettlingMemory(FakePython& python) : python_(python) {}

  std::size_t read_pieces(const Piece* pieces, std::size_t count) const noexcept override {
    if (++calls == 3) python_.newest(FakePython::kDataStack);
    return python_.memory.read_pieces(pieces, count);
  }

  mutable int calls = 0;

 private:
  FakePython& python_;
};

TEST(a_stack_that_changes_is_read_again_also_when_its_thread_let_go_meanwhile) {
  for (const bool lets_go : {false, true}) {
    FakePython python(Layout::kCurrentFrame);
    python.memory.map(FakePython::kDataStack, 0x1000);
    python.frame(FakePython::kDataStack, python.entry(), FakePython::kCode, 0);
    python.newest(8);
    FakeHolder gil;
    gil.changes_at = 3;
    if (lets_go) gil.later = std::nullopt;
    const SettlingMemory memory(python);
    const auto holder = std::make_unique<HolderStack>(gil, memory, python.offsets);
    HolderMark mark;
    const auto stack = std::make_unique<RawStack>();
    CHECK_EQ(holder->look(stack.get(), &mark), StackLook::kWhole);
    CHECK_EQ(stack->size, 1);
  }
}

TEST(whose_stack_it_is_is_read_with_it) {
  FakePython python(Layout::kCurrentFrame);
  python.memory.put(FakePython::kThread + FakeHolder::kState - 4, std::uint32_t{4711});
  python.memory.map(FakePython::kDataStack, 0x1000);
  python.frame(FakePython::kDataStack, python.entry(), FakePython::kCode, 0);
  python.newest(FakePython::kDataStack);
  FakeHolder gil;
  const auto holder = std::make_unique<HolderStack>(gil, python.memory, python.offsets);
  const auto stack = std::make_unique<RawStack>();
  HolderMark mark;
  for (int look = 0; look < 2; ++look) {
    const int calls = python.memory.calls;
    CHECK_EQ(holder->look(stack.get(), &mark), StackLook::kWhole);
    if (look == 1) CHECK_EQ(python.memory.calls - calls, 1);
    REQUIRE(stack->state.size >= FakeHolder::kState);
    CHECK_EQ(stack->state.bytes[FakeHolder::kState - 4] +
                 256 * stack->state.bytes[FakeHolder::kState - 3],
             4711);
  }
  python.newest(8);  // no stack: it is told all the same who has it
  CHECK_EQ(holder->look(stack.get(), &mark), StackLook::kUnreadable);
  CHECK(stack->state.size >= FakeHolder::kState);
  python.memory.unmap(FakePython::kThread);
  CHECK_EQ(holder->look(stack.get(), &mark), StackLook::kUnreadable);
  CHECK_EQ(stack->state.size, 0);
}

TEST(the_holder_s_stack_is_that_of_who_held_it_at_the_look) {
  FakePython python(Layout::kCurrentFrame);
  python.memory.map(FakePython::kDataStack, 0x1000);
  python.frame(FakePython::kDataStack, python.entry(), FakePython::kCode, 0);
  python.newest(FakePython::kDataStack);
  FakeHolder gil;
  HolderMark mark;
  const auto stack = std::make_unique<RawStack>();
  const auto look = [&] {
    gil.asked = 0;
    const auto holder = std::make_unique<HolderStack>(gil, python.memory, python.offsets);
    return holder->look(stack.get(), &mark);
  };
  CHECK_EQ(look(), StackLook::kWhole);
  CHECK((mark == HolderMark{FakePython::kThread, 7}));
  gil.changes_at = 3;
  gil.later = HolderMark{0x66'0000, 8};  // another took it: the first one's stack stays as it was
  CHECK_EQ(look(), StackLook::kWhole);
  CHECK((mark == HolderMark{FakePython::kThread, 7}));
  python.newest(0);  // and ended, or is one of C code alone
  CHECK_EQ(look(), StackLook::kWhole);
  CHECK_EQ(stack->size, 0);
  python.newest(0x1000);
  gil.changes_at = 2;  // while it was taken: the first answer was who had it before
  gil.now = HolderMark{0x66'0000, 6};
  gil.later = HolderMark{FakePython::kThread, 7};
  python.newest(FakePython::kDataStack);
  CHECK_EQ(look(), StackLook::kWhole);
  CHECK((mark == HolderMark{FakePython::kThread, 7}));
  gil.changes_at = 0;
  gil.later = std::nullopt;
  CHECK_EQ(look(), StackLook::kFree);
  gil.changes_at = 2;  // and it was taken just after the look
  gil.now = std::nullopt;
  gil.later = HolderMark{FakePython::kThread, 8};
  CHECK_EQ(look(), StackLook::kFree);
  gil.now = gil.later = HolderMark{0x66'0000, 1};
  const int before = python.memory.calls;
  CHECK_EQ(look(), StackLook::kUnreadable);
  CHECK(python.memory.calls - before > 4);  // tried again
}

}  // namespace
}  // namespace gilknocker
