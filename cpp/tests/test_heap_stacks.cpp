// Stacks whose frames are objects somewhere in the heap, as those of 3.10 are.
#include <algorithm>
#include <memory>
#include <vector>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/page_spans.hpp"
#include "gilknocker/stack_reader.hpp"
#include "random_cases.hpp"
#include "stack_reading.hpp"

namespace gilknocker {
namespace {

// Frames that are objects, so far from each other that no window has two of their pages.
struct Heap {
  static constexpr std::uint64_t kObject = 448;
  static constexpr std::size_t kInPage = kPage / kObject;

  static std::uint64_t page(std::uint64_t i) { return 0x7'0000'0000 + i * 16 * kPage; }
  static std::uint64_t place(std::size_t i) { return page(i / kInPage) + i % kInPage * kObject; }
  // The oldest in the first place; an own leaf, if any, in a page of its own.
  static void stack(FakePython& python, std::size_t depth, std::uint64_t leaf = 0) {
    std::uint64_t previous = 0;
    const auto put = [&](std::uint64_t at) {
      python.frame(at, previous, FakePython::kCode, 10);
      previous = at;
    };
    for (std::size_t i = 0; i < depth; ++i) put(place(i));
    if (leaf != 0) put(leaf);
    python.newest(previous);
  }

  explicit Heap(std::uint64_t pages) {
    for (std::uint64_t i = 0; i < pages; ++i) python.memory.map(page(i), kPage);
  }
  LookCost look(std::size_t depth) { return cost_of(python, *reader, depth); }

  FakePython python{Layout::kFrameObjects};
  std::unique_ptr<StackReader> reader =
      std::make_unique<StackReader>(python.memory, python.offsets);
};

TEST(frames_that_are_objects_are_read_by_their_pages) {
  Heap heap(20);
  std::vector<std::uint64_t> places;
  for (std::size_t i = 0; i < 20 * Heap::kInPage; ++i) places.push_back(Heap::place(i));
  for_seeds(20, [&](Random& random) {
    std::shuffle(places.begin(), places.end(), random);
    const auto depth = static_cast<std::size_t>(integer_in(random, 1, 150));
    std::uint64_t previous = 0;
    for (std::size_t i = 0; i < depth; ++i) {
      heap.python.frame(places[i], previous, FakePython::kCode, 10);
      previous = places[i];
    }
    heap.python.newest(previous);
    heap.look(depth);
    CHECK_EQ(heap.look(depth).calls, 1);
  });
}

TEST(a_frame_that_is_there_now_and_then_is_had_in_the_same_call) {
  Heap heap(4);
  const std::uint64_t leaf = Heap::page(3);
  for (int look = 0; look < 60; ++look) {
    const bool is_called = look % 3 == 0;
    Heap::stack(heap.python, 20, is_called ? leaf : 0);
    const int calls = heap.look(is_called ? 21 : 20).calls;
    if (look > 0) CHECK_EQ(calls, 1);
  }
  std::size_t bytes = 0;
  for (int look = 0; look < 17; ++look) bytes = heap.look(20).bytes;  // it is called no more
  Heap alone(4);
  Heap::stack(alone.python, 20);
  alone.look(20);
  CHECK_EQ(bytes, alone.look(20).bytes);
}

TEST(a_frame_s_page_that_is_gone_is_not_asked_for_again) {
  Heap heap(4);
  Heap::stack(heap.python, 20, Heap::page(3));
  heap.look(21);
  heap.python.memory.unmap(Heap::page(3));
  Heap::stack(heap.python, 20);
  heap.look(20);
  CHECK_EQ(heap.look(20).calls, 1);
}

TEST(a_deep_stack_in_the_heap_that_is_new_is_read_twice_and_forgotten_when_it_has_returned) {
  Heap heap(20);
  Heap::stack(heap.python, 150);
  CHECK(heap.look(150).calls > 4);
  CHECK(heap.python.memory.pieces_asked < 110);  // not each frame's once more
  CHECK_EQ(heap.look(150).calls, 1);
  Heap::stack(heap.python, 9);
  heap.look(9);
  const std::size_t bytes = heap.look(9).bytes;
  CHECK(bytes <= kPage + 64);
}

// At one of its reads the thread has gone back to its newest frame by another way.
class RelinkedMemory final : public Memory {
 public:
  RelinkedMemory(FakePython& python, int when) : python_(python), when_(when) {
    python.memory.map(FakePython::kDataStack, 0x10'0000);
    for (std::uint64_t i = 0; i < kDepth; ++i) before.push_back(i);
    for (std::uint64_t i = 0; i < kDepth - 1; ++i) after.push_back((i * 7 + 3) % (kDepth - 1));
    after.resize(kDepth / 2);
    after.push_back(kDepth - 1);
    link(before);
  }
  std::size_t read_pieces(const Piece* pieces, std::size_t count) const noexcept override {
    if (++calls_ == when_) link(after);
    return python_.memory.read_pieces(pieces, count);
  }
  bool has_changed() const { return calls_ >= when_; }
  // Each frame's code says which it is, whoever called it.
  static std::vector<RawFrame> frames(const std::vector<std::uint64_t>& order) {
    std::vector<RawFrame> found;
    for (const std::uint64_t i : order) {
      found.insert(found.begin(), {FakePython::kCode + 64 * i, std::int32_t{0}});
    }
    return found;
  }

  std::vector<std::uint64_t> before, after;  // frames, from the oldest to the newest

 private:
  static constexpr std::uint64_t kDepth = 24;
  void link(const std::vector<std::uint64_t>& order) const {
    std::uint64_t previous = 0;
    for (const std::uint64_t i : order) {  // far from each other: each is read alone
      const std::uint64_t at = FakePython::kDataStack + 0xA000 * i;
      python_.frame(at, previous, FakePython::kCode + 64 * i, 0);
      previous = at;
    }
    python_.newest(previous);
  }

  FakePython& python_;
  const int when_;
  mutable int calls_ = 0;
};

TEST(a_stack_of_frames_in_the_heap_is_none_of_two_instants) {
  for (int when = 1; when < 40; ++when) {
    FakePython python(Layout::kFrameObjects);
    const RelinkedMemory memory(python, when);
    const auto reader = std::make_unique<StackReader>(memory, python.offsets);
    const Reading first = read(*reader);
    CHECK(first.outcome == Outcome::kImplausible ||
          first.frames == RelinkedMemory::frames(memory.before) ||
          first.frames == RelinkedMemory::frames(memory.after));
    if (memory.has_changed()) CHECK(read(*reader).frames == RelinkedMemory::frames(memory.after));
  }
}

}  // namespace
}  // namespace gilknocker
