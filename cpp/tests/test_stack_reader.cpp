// From a thread state to frames, over memory that is there, that is not, and that is garbage.
#include <memory>
#include <vector>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/stack_reader.hpp"
#include "random_cases.hpp"
#include "stack_reading.hpp"

namespace gilknocker {
namespace {

constexpr Layout kLayouts[] = {Layout::kFrameObjects, Layout::kCframe, Layout::kCurrentFrame};

Reading read_anew(const FakePython& python) {
  const auto reader = std::make_unique<StackReader>(python.memory, python.offsets);
  return read(*reader);
}

// Depth frames of random sizes, some of them elsewhere, as generators are; what reads as a stack.
std::vector<RawFrame> build(FakePython& python, Random& random, std::int64_t depth) {
  constexpr std::uint64_t kElsewhere = 0x2'0000'0000;
  std::vector<RawFrame> frames;
  const auto room = static_cast<std::size_t>(depth) * 700 + 4096;
  python.memory.unmap(FakePython::kDataStack);
  python.memory.unmap(kElsewhere);
  python.memory.map(FakePython::kDataStack, room);
  python.memory.map(kElsewhere, room);
  std::uint64_t next[] = {FakePython::kDataStack + 24, kElsewhere + 48};
  std::uint64_t previous = depth == 0 ? 0 : python.entry();
  for (std::int64_t i = 0; i < depth; ++i) {
    std::uint64_t& at = next[chance(random, 0.1) ? 1 : 0];
    const bool artificial = chance(random, 0.1) && python.has_artificial();
    const auto code = FakePython::kCode + 64 * static_cast<std::uint64_t>(integer_in(random, 0, 9));
    const auto instruction = static_cast<std::int32_t>(2 * integer_in(random, -1, 400));
    python.frame(at, previous, code, instruction, artificial ? 3 : i == 0 ? 0 : 1);
    if (!artificial) frames.insert(frames.begin(), {code, instruction});
    previous = at;
    at += 8 * static_cast<std::uint64_t>(integer_in(random, 9, 80));
  }
  python.newest(previous);
  return frames;
}

TEST(a_stack_reads_as_it_was_put_there) {
  for (const Layout layout : kLayouts) {
    for_seeds(60, [layout](Random& random) {
      FakePython python(layout);
      const auto reader = std::make_unique<StackReader>(python.memory, python.offsets);
      for (int again = 0; again < 5; ++again) {  // what it remembers of the last one is no matter
        const std::vector<RawFrame> expected = build(python, random, integer_in(random, 0, 120));
        CHECK((read(*reader) == Reading{Outcome::kWhole, expected, false}));
      }
    });
  }
}

TEST(a_stack_of_a_thousand_frames_is_whole_and_a_longer_one_is_cut) {
  Random random(1);
  FakePython python(Layout::kCurrentFrame);
  for (const std::int64_t depth : {1'000, 10'000}) {
    std::vector<RawFrame> expected = build(python, random, depth);
    const bool cut = expected.size() > RawStack::kMost;
    if (cut) expected.resize(RawStack::kMost);
    CHECK_EQ(cut, depth == 10'000);
    CHECK((read_anew(python) == Reading{Outcome::kWhole, expected, cut}));
  }
}

TEST(a_stack_seen_before_takes_one_call) {
  FakePython python(Layout::kCframe);
  python.memory.map(FakePython::kDataStack, 0x4000);
  python.memory.map(0x60'0000, 0x100);
  std::uint64_t previous = 0x60'0000;  // one that lies alone
  python.frame(previous, python.entry(), FakePython::kCode, 0);
  for (std::uint64_t i = 0; i < 30; ++i) {
    const std::uint64_t at = FakePython::kDataStack + 0x800 + 200 * i;
    python.frame(at, previous, FakePython::kCode, 10);
    previous = at;
  }
  python.newest(previous);
  const auto reader = std::make_unique<StackReader>(python.memory, python.offsets);
  const Reading first = read(*reader);
  CHECK_EQ(first.frames.size(), 31);
  const int before = python.memory.calls;
  CHECK((read(*reader) == first));
  CHECK_EQ(python.memory.calls - before, 1);
}

// A data stack with so many frames from `lowest` on; what one look at it costs.
struct DataStack {
  static constexpr std::uint64_t kFrame = 96;

  static constexpr std::uint64_t kGenerator = 0x3'0000'0000;

  DataStack() {
    python.memory.map(FakePython::kDataStack, 0x8000);
    python.memory.map(kGenerator, 0x1000);
  }
  LookCost look(std::uint64_t lowest, std::uint64_t depth, bool generator = false) {
    std::uint64_t previous = python.entry();
    for (std::uint64_t i = 0; i < depth; ++i) {
      const std::uint64_t at = FakePython::kDataStack + lowest + kFrame * i;
      python.frame(at, previous, FakePython::kCode, 0);
      previous = at;
    }
    if (generator) python.frame(kGenerator, previous, FakePython::kCode, 0, 1);
    python.newest(generator ? kGenerator : previous);
    return cost_of(python, *reader, depth + (generator ? 1 : 0));
  }

  FakePython python{Layout::kCurrentFrame};
  std::unique_ptr<StackReader> reader =
      std::make_unique<StackReader>(python.memory, python.offsets);
};

TEST(what_lies_below_a_stack_is_read_once) {
  DataStack stack;
  CHECK(stack.look(0x5080, 20).bytes > 0x4000);
  CHECK_EQ(stack.look(0x5080, 20).calls, 1);
  CHECK(stack.look(0x5080, 20).bytes < 20 * DataStack::kFrame + 200);
  // What begins lower down than ever is found all the same, and the next time in one call.
  for (const std::uint64_t lowest : {0x5040U, 0x3100U, 0x100U}) {
    CHECK(stack.look(lowest, 20).calls > 1);
    CHECK_EQ(stack.look(lowest, 20).calls, 1);
  }
}

TEST(a_stack_costs_what_it_needs_also_after_a_deeper_one) {
  DataStack stack;
  CHECK(stack.look(0x100, 150).calls > 1);  // in four pages
  CHECK_EQ(stack.look(0x100, 150).calls, 1);
  CHECK_EQ(stack.look(0x100, 10).calls, 1);
  CHECK(stack.look(0x100, 10).bytes < 10 * DataStack::kFrame + 200);
  // Who calls another now and then has both read, for some looks.
  stack.look(0x100, 12);
  for (int look = 0; look < 30; ++look) {
    CHECK_EQ(stack.look(0x100, look % 3 == 0 ? 12 : 10).calls, 1);
  }
  for (int look = 0; look < 17; ++look) stack.look(0x100, 10);
  CHECK(stack.look(0x100, 10).bytes < 10 * DataStack::kFrame + 200);
}

TEST(what_is_called_now_and_then_is_kept_also_where_something_else_is_called_anew) {
  DataStack stack;
  stack.look(0x100, 10);
  CHECK_EQ(stack.look(0x100, 10, true).calls, 2);
  CHECK_EQ(stack.look(0x100, 10, true).calls, 1);
  CHECK_EQ(stack.look(0x100, 11).calls, 2);
  CHECK_EQ(stack.look(0x100, 10, true).calls, 1);
  CHECK_EQ(stack.look(0x100, 11).calls, 1);
  CHECK_EQ(stack.look(0xA0, 12).calls, 2);  // beside what was found already
  CHECK_EQ(stack.look(0x100, 10, true).calls, 1);
}

TEST(one_that_is_called_anew_costs_little) {
  DataStack stack;
  for (int look = 0; look < 3; ++look) stack.look(0x100, 10);
  const LookCost cost = stack.look(0x100, 12);
  CHECK_EQ(cost.calls, 2);
  CHECK(cost.bytes < 2 * 0x400 + 10 * DataStack::kFrame);
}

TEST(what_is_not_there_is_said_to_be_unreadable) {
  for (const Layout layout : kLayouts) {
    FakePython python(layout);
    python.memory.map(FakePython::kDataStack, 0x1000);
    python.frame(FakePython::kDataStack, 0x66'0000, FakePython::kCode, 0);  // whose caller is gone
    python.newest(FakePython::kDataStack);
    CHECK_EQ(read_anew(python).outcome, Outcome::kUnreadable);
    python.memory.unmap(FakePython::kDataStack);
    CHECK_EQ(read_anew(python).outcome, Outcome::kUnreadable);
    python.memory.unmap(FakePython::kCframe);
    python.memory.unmap(FakePython::kThread);
    CHECK_EQ(read_anew(python).outcome, Outcome::kUnreadable);
  }
}

TEST(what_is_no_stack_is_not_believed) {
  for (const Layout layout : kLayouts) {
    FakePython python(layout);
    python.memory.map(FakePython::kDataStack, 0x1000);
    const std::uint64_t at = FakePython::kDataStack;
    const auto outcome_of = [&](std::uint64_t previous, std::uint64_t code, std::int32_t where) {
      python.frame(at, previous, code, where);
      python.newest(at);
      return read_anew(python).outcome;
    };
    CHECK_EQ(outcome_of(python.entry(), FakePython::kCode, 0), Outcome::kWhole);
    CHECK_EQ(outcome_of(at, FakePython::kCode, 0), Outcome::kImplausible);  // a circle
    python.frame(at + 0x100, at, FakePython::kCode, 0);
    CHECK_EQ(outcome_of(at + 0x100, FakePython::kCode, 0), Outcome::kImplausible);  // a wider one
    CHECK_EQ(outcome_of(at + 1, FakePython::kCode, 0), Outcome::kImplausible);
    CHECK_EQ(outcome_of(8, FakePython::kCode, 0), Outcome::kImplausible);
    CHECK_EQ(outcome_of(std::uint64_t{1} << 60, FakePython::kCode, 0), Outcome::kImplausible);
    const std::uint64_t entry = python.entry();
    for (const int owner : {5, 77, 255}) {  // memory that is used for something else
      if (layout == Layout::kFrameObjects) break;
      python.frame(at, entry, FakePython::kCode, 0, static_cast<unsigned char>(owner));
      CHECK_EQ(read_anew(python).outcome, Outcome::kImplausible);
    }
    CHECK_EQ(outcome_of(entry, 0, 0), Outcome::kImplausible);
    CHECK_EQ(outcome_of(entry, FakePython::kCode, -4), Outcome::kImplausible);
    CHECK_EQ(outcome_of(entry, FakePython::kCode, 1 << 28), Outcome::kImplausible);
    CHECK_EQ(read_anew(python).frames.size(), 0);
  }
}

TEST(a_generator_that_has_just_yielded_is_no_whole_stack) {
  for (const Layout layout : kLayouts) {
    FakePython python(layout);
    const std::uint64_t at = FakePython::kDataStack;
    python.memory.map(at, 0x1000);
    python.frame(at, 0, FakePython::kCode, 0, 1);  // its caller is forgotten
    if (layout == Layout::kFrameObjects) {
      python.memory.put(at + python.offsets.frame_state, static_cast<unsigned char>(-1));
    }
    python.newest(at);
    CHECK_EQ(read_anew(python).outcome, Outcome::kImplausible);
    python.frame(at, python.entry(), FakePython::kCode, 0, 0);
    if (layout == Layout::kFrameObjects) {
      python.memory.put(at + python.offsets.frame_state, static_cast<unsigned char>(0));
    }
    CHECK_EQ(read_anew(python).outcome, Outcome::kWhole);
  }
}

TEST(a_cframe_without_a_frame_is_being_made) {
  FakePython python(Layout::kCframe);
  CHECK((read_anew(python) == Reading{Outcome::kWhole, {}, false}));
  python.memory.put(FakePython::kThread + python.offsets.thread_frame, FakePython::kCframe);
  CHECK_EQ(read_anew(python).outcome, Outcome::kImplausible);
}

TEST(a_circle_of_frames_of_no_function_ends) {
  FakePython python(Layout::kCurrentFrame);
  python.memory.map(FakePython::kDataStack, 0x1000);
  python.frame(FakePython::kDataStack, FakePython::kDataStack, FakePython::kCode, 0, 3);
  python.newest(FakePython::kDataStack);
  CHECK_EQ(read_anew(python).outcome, Outcome::kImplausible);
}

TEST(any_garbage_is_survived) {
  for (const Layout layout : kLayouts) {
    for_seeds(300, [layout](Random& random) {
      FakePython python(layout);
      build(python, random, integer_in(random, 1, 40));
      const auto reader = std::make_unique<StackReader>(python.memory, python.offsets);
      const std::vector<unsigned char*> bytes = python.memory.all();
      for (int i = 0; i < 40; ++i) {
        const std::int64_t last = static_cast<std::int64_t>(bytes.size()) - 1;
        *bytes[static_cast<std::size_t>(integer_in(random, 0, last))] =
            static_cast<unsigned char>(integer_in(random, 0, 255));
        CHECK((read(*reader) == read_anew(python)));
      }
    });
  }
}

// A code object is freed while the frames are read.
class FreeingMemory final : public Memory {
 public:
  explicit FreeingMemory(FakePython& python) : python_(python) {}
  std::size_t read_pieces(const Piece* pieces, std::size_t count) const noexcept override {
    ++died;
    return python_.memory.read_pieces(pieces, count);
  }

  mutable std::uint64_t died = 0;

 private:
  FakePython& python_;
};

TEST(code_that_dies_while_the_frames_are_read_is_counted) {
  FakePython python(Layout::kCurrentFrame);
  const FreeingMemory memory(python);
  python.offsets.code_deaths = &memory.died;
  const auto reader = std::make_unique<StackReader>(memory, python.offsets);
  const auto stack = std::make_unique<RawStack>();
  CHECK_EQ(reader->read(FakePython::kThread, stack.get()), Outcome::kWhole);
  CHECK_EQ(stack->deaths, 1);
}

}  // namespace
}  // namespace gilknocker
