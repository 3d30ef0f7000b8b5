// From a thread state to its Python frames, without the GIL and without the thread's knowledge.
//
// The thread may run on while it is read, so that every number read is a claim: an address is read
// through Memory only, which may fail, and is believed to be a frame if it looks like one; the
// chain is bounded, and must end where a stack can: a generator that yields meanwhile forgets its
// caller. What lay where the frames were at the last looks is read at once; frames lie next to each
// other in a thread's data stack, so of one that is not known pages are read: its own and those
// below it, down to the first that is not there.
//
// A thread that calls and returns meanwhile gives a stack that was right at some instant of the
// read, but for its newest frames, which may be of two instants some 100 ns apart. Whose stack it
// is, whoever reads it must know by other means.
//
// Thread safety: belongs to one thread. Nothing is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "gilknocker/gil.hpp"
#include "gilknocker/memory.hpp"
#include "gilknocker/page_spans.hpp"
#include "gilknocker/stack_offsets.h"

namespace gilknocker {

using StackOffsets = gilknocker_stack_offsets;

struct RawFrame {
  std::uint64_t code = 0;         // address of the code object
  std::int32_t instruction = -1;  // bytes into its instructions; negative: before the first

  bool operator==(const RawFrame&) const = default;
};

struct RawStack {
  static constexpr std::size_t kMost = 2048;
  static constexpr std::size_t kLargestCode = 320;
  using Codes = PageSpans<16>;

  std::array<RawFrame, kMost> frames;  // the newest first; `size` of them
  std::size_t size = 0;
  bool cut = false;          // there were more than kMost
  std::uint64_t deaths = 0;  // of code objects: no more than these when the frames were read
  StateCopy state;           // of the thread, read just before the frames

  // Where deaths are not counted: the bytes of code objects that the thread had the last time,
  // read in the same system call as its frames, and after them.
  Codes codes;
  SpanBytes<Codes::kMost> code_bytes;
  std::uint32_t code_size = 0;

  void clear() noexcept {
    size = codes.count = state.size = 0;
    cut = false;
    deaths = 0;
  }
  const unsigned char* bytes_of(std::uint64_t code) const noexcept {
    const std::size_t i = codes.find(code, code + code_size);
    return i == codes.count ? nullptr : code_bytes.of(i) + (code - codes.spans[i].low);
  }
};

class StackReader {
 public:
  enum class Outcome : unsigned char {
    kWhole,       // to its end, or to kMost
    kUnreadable,  // an address was not there
    kImplausible  // something read was no frame, or the chain had no end
  };

  // At least so much of a thread state is read with its stack.
  StackReader(const Memory& memory, const StackOffsets& offsets,
              std::size_t state_size = 0) noexcept
      : memory_(memory),
        offsets_(offsets),
        state_size_(std::max(state_size, offsets.thread_frame + sizeof(std::uint64_t))) {}

  // Without any frame (a thread in C code that Python did not call) a stack is whole and empty.
  Outcome read(std::uint64_t thread_state, RawStack* stack) noexcept;

 private:
  static constexpr std::size_t kPages = 4;  // of a window
  static constexpr std::size_t kThreads = 16;
  // A stack of so many reads took so long that its thread may have gone elsewhere in between.
  static constexpr int kManyReads = 3;

  // Pages as they were read: low <= address < high, at the end of `bytes`.
  struct Window {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::array<unsigned char, kPages * kPage> bytes;

    Piece piece(std::uint64_t from, std::uint64_t to) noexcept;
    const unsigned char* find(std::uint64_t address, std::uint32_t size) const noexcept;
    void forget() noexcept { low = high = 0; }
  };

  // Where frames are: next to each other in the thread's data stack, on the C stack (between C code
  // and Python), within a generator, or each somewhere, where it is an object.
  using Places = PageSpans<40>;

  // Where a thread's frames were the last times: mostly they are there again, and all of a stack is
  // had in one system call.
  struct Guess {
    std::uint64_t thread = 0;
    std::uint64_t cframe = 0;
    Places places;
    Places recent;  // of those, in their order, what was needed since the last turn
    int turn = 0;   // looks since then
    RawStack::Codes codes;
  };

  Outcome read_once(Guess& guess, RawStack* stack, std::uint64_t* newest) noexcept;
  bool took_long(Outcome outcome) const noexcept;
  Guess& guess_of(std::uint64_t thread_state) noexcept;
  std::uint64_t deaths_now() const noexcept;
  void improve(Guess& guess, const RawStack& stack) const noexcept;
  void improve_places(Guess& guess) const noexcept;
  static void end_turn(Guess& guess) noexcept;
  Outcome first_frame(Guess& guess, RawStack* stack, std::uint64_t* frame) noexcept;
  Outcome follow(std::uint64_t address, RawStack* stack) noexcept;
  const unsigned char* find(std::uint64_t address) noexcept;
  const unsigned char* fetch(std::uint64_t address) noexcept;
  const unsigned char* load(Window& window, std::uint64_t address) noexcept;
  const unsigned char* load_little(Window& window, std::uint64_t address) noexcept;
  Outcome take(const unsigned char* frame, RawStack* stack) const noexcept;
  bool can_be_oldest(const unsigned char* frame) const noexcept;
  bool in_heap() const noexcept;
  bool is_linked(const Guess& guess, const RawStack& stack) const noexcept;
  bool is_newest(const Guess& guess, std::uint64_t frame) const noexcept;

  const Memory& memory_;
  const StackOffsets offsets_;
  const std::size_t state_size_;
  std::array<Guess, kThreads> guesses_{};
  // Of this stack: what was read where the places say nothing, of its newest frames or of those
  // below them, and of others; and the frame that was missed last.
  Window near_;
  Window elsewhere_;
  std::uint64_t last_missed_ = 0;
  int reads_ = 0;
  std::array<std::uint64_t, RawStack::kMost> links_;  // the frames that were taken, as addresses
  Places read_;  // those whose bytes are in place_bytes_, in this order; next_ is the likely one
  std::size_t next_ = 0;
  Places used_;  // of read_, in this order, what frames were found in; then what was not in it
  SpanBytes<Places::kMost> place_bytes_;
};

}  // namespace gilknocker
