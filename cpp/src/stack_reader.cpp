#include "gilknocker/stack_reader.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace gilknocker {
namespace {

constexpr std::uint64_t kLeastAddress = 4096;
constexpr std::uint64_t kGreatestAddress = std::uint64_t{1} << 56;  // of a process, on any system
constexpr std::uint32_t kGreatestFunctionOwner = 2;        // a thread, a generator, a frame object
constexpr std::int64_t kMostCode = std::int64_t{1} << 28;  // bytes of instructions

bool plausible(std::uint64_t address) noexcept {
  return address >= kLeastAddress && address < kGreatestAddress && address % sizeof(void*) == 0;
}

template <typename T>
T field(const unsigned char* object, std::uint32_t offset) noexcept {
  T value;
  std::memcpy(&value, object + offset, sizeof value);
  return value;
}

// A piece for each span that there is room for; the others are left out.
template <std::size_t N>
std::size_t ask_for(PageSpans<N>* spans, SpanBytes<N>* bytes, Piece* pieces) noexcept {
  spans->count = bytes->lay_out(*spans);
  for (std::size_t i = 0; i < spans->count; ++i) {
    pieces[i] = {spans->spans[i].low, bytes->of(i), spans->spans[i].size()};
  }
  return spans->count;
}

}  // namespace

Piece StackReader::Window::piece(std::uint64_t from, std::uint64_t to) noexcept {
  const auto size = static_cast<std::size_t>(to - from);
  return {from, bytes.data() + (bytes.size() - (high - from)), size};
}

const unsigned char* StackReader::Window::find(std::uint64_t address,
                                               std::uint32_t size) const noexcept {
  if (address < low || address + size > high) return nullptr;
  return bytes.data() + (bytes.size() - (high - address));
}

StackReader::Outcome StackReader::read(std::uint64_t thread_state, RawStack* stack) noexcept {
  stack->code_size = offsets_.code_size;
  if (!plausible(thread_state) || state_size_ > StateCopy::kMost) {
    stack->clear();
    return Outcome::kImplausible;
  }
  Guess& guess = guess_of(thread_state);
  std::uint64_t newest = 0;
  Outcome outcome = read_once(guess, stack, &newest);
  // Where the frames are is known now: in the heap they are had in one call sooner than proven.
  if (took_long(outcome) && in_heap()) outcome = read_once(guess, stack, &newest);
  if (!took_long(outcome)) return outcome;
  const bool is_still_so = in_heap() ? is_linked(guess, *stack) : is_newest(guess, newest);
  return is_still_so ? Outcome::kWhole : Outcome::kImplausible;
}

bool StackReader::took_long(Outcome outcome) const noexcept {
  return outcome == Outcome::kWhole && reads_ > kManyReads;
}

StackReader::Outcome StackReader::read_once(Guess& guess, RawStack* stack,
                                            std::uint64_t* newest) noexcept {
  stack->clear();
  // What was read for the last stack says nothing about this one.
  near_.forget();
  elsewhere_.forget();
  last_missed_ = 0;
  reads_ = 0;
  read_.count = used_.count = next_ = 0;
  const Outcome begun = first_frame(guess, stack, newest);
  if (begun != Outcome::kWhole) return begun;
  const Outcome outcome = follow(*newest, stack);
  improve(guess, *stack);
  if (reads_ != 0) stack->codes.count = 0;  // some frames were read after those
  if (offsets_.code_deaths != nullptr) stack->deaths = deaths_now();
  return outcome;
}

// After the frames: a code object that was freed before they were read is counted.
std::uint64_t StackReader::deaths_now() const noexcept {
  std::atomic_thread_fence(std::memory_order_acquire);
  return __atomic_load_n(offsets_.code_deaths, __ATOMIC_RELAXED);
}

// The next time where the frames and their code objects were this time.
void StackReader::improve(Guess& guess, const RawStack& stack) const noexcept {
  improve_places(guess);
  guess.codes.count = 0;
  if (offsets_.code_deaths != nullptr) return;
  std::uint64_t last = 0;  // recursion has the same again and again
  for (std::size_t i = 0; i < stack.size; ++i) {
    const std::uint64_t code = stack.frames[i].code;
    if (code != last) guess.codes.add(code, code + offsets_.code_size);
    last = code;
  }
}

// A function that is called in a loop has its frame at some looks only, and to find it missing
// takes as long as to read it five times in vain: so what was needed is kept for some looks, if it
// is little.
void StackReader::improve_places(Guess& guess) const noexcept {
  constexpr int kLooks = 8;
  constexpr std::size_t kMostIdle = 3;
  std::size_t idle = 0;
  std::size_t idle_bytes = 0;
  for (std::size_t i = 0; i < read_.count; ++i) {
    idle += used_.spans[i].empty();
    // One may have been widened by what was called anew beside it.
    const std::size_t read = read_.spans[i].size();
    idle_bytes += read - std::min(read, used_.spans[i].size());
  }
  if (idle > kMostIdle || idle_bytes > kPage) {
    guess.places = used_;
    end_turn(guess);
    return;
  }
  // From what is not there on, none was read.
  guess.places.count = guess.recent.count = read_.count;
  for (std::size_t i = 0; i < used_.count; ++i) {
    const PageSpan& used = used_.spans[i];
    if (used.empty()) continue;
    std::size_t at = i;
    if (i >= read_.count || !guess.places.spans[i].widen(used.low, used.high)) {
      at = guess.places.add(used.low, used.high);
    }
    if (at == Places::kMost) {
      guess.turn = kLooks;  // it has room then
      continue;
    }
    if (at == guess.recent.count) guess.recent.spans[guess.recent.count++] = {};
    guess.recent.spans[at].widen(used.low, used.high);
  }
  if (++guess.turn < kLooks) return;
  guess.places = guess.recent;
  end_turn(guess);
}

void StackReader::end_turn(Guess& guess) noexcept {
  guess.turn = 0;
  guess.places.drop_empty();
  guess.recent.empty(guess.places.count);
}

StackReader::Guess& StackReader::guess_of(std::uint64_t thread_state) noexcept {
  Guess& guess = guesses_[(thread_state / 64) % kThreads];
  if (guess.thread != thread_state) {
    guess.thread = thread_state;
    guess.cframe = 0;
    guess.places.count = guess.recent.count = guess.codes.count = 0;
    guess.turn = 0;
  }
  return guess;
}

// Asks for the thread's newest frame, and at once for all that was needed the last time.
StackReader::Outcome StackReader::first_frame(Guess& guess, RawStack* stack,
                                              std::uint64_t* frame) noexcept {
  const bool by_cframe = offsets_.cframe_frame != GILKNOCKER_NONE;
  std::uint64_t of_guess = 0;
  std::array<Piece, 2 + Places::kMost + RawStack::Codes::kMost> pieces;
  std::size_t count = 0;
  pieces[count++] = {guess.thread, stack->state.bytes.data(), state_size_};
  if (by_cframe && guess.cframe != 0) {
    pieces[count++] = {guess.cframe + offsets_.cframe_frame, &of_guess, sizeof of_guess};
  }
  const std::size_t before_places = count;
  count += ask_for(&guess.places, &place_bytes_, pieces.data() + count);
  const std::size_t before_codes = count;
  count += ask_for(&guess.codes, &stack->code_bytes, pieces.data() + count);
  stack->codes = guess.codes;
  const std::size_t whole = memory_.read_pieces(pieces.data(), count);
  if (whole == 0) return Outcome::kUnreadable;
  stack->state.size = state_size_;
  const auto first = field<std::uint64_t>(stack->state.bytes.data(), offsets_.thread_frame);
  if (whole > before_places) {
    read_ = guess.places;
    read_.count = std::min(whole, before_codes) - before_places;
    used_.empty(read_.count);
  }
  if (whole > before_codes) stack->codes.count = whole - before_codes;
  *frame = by_cframe ? of_guess : first;
  if (!by_cframe) return Outcome::kWhole;
  if (first != guess.cframe || whole < before_places) {
    if (!plausible(first)) return Outcome::kImplausible;
    guess.cframe = first;
    if (!memory_.read(first + offsets_.cframe_frame, frame)) return Outcome::kUnreadable;
  }
  // Only that which lies in the thread state itself stays without a frame; another is being made.
  const bool is_root = first - guess.thread < kPage;
  return *frame == 0 && !is_root ? Outcome::kImplausible : Outcome::kWhole;
}

// Twice as many steps as frames, for frames of no function are passed over. A frame that was used
// anew meanwhile can lead back to one that was passed (found by R. Brent's way: each is compared
// with the one at the last power of two).
StackReader::Outcome StackReader::follow(std::uint64_t address, RawStack* stack) noexcept {
  std::uint64_t passed = 0;
  for (std::size_t steps = 0; address != 0; ++steps) {
    if (address == passed) return Outcome::kImplausible;
    if (std::has_single_bit(steps + 1)) passed = address;
    if (stack->size == RawStack::kMost) {
      stack->cut = true;
      break;
    }
    if (!plausible(address) || steps == 2 * RawStack::kMost) return Outcome::kImplausible;
    const unsigned char* frame = find(address);
    if (frame == nullptr) frame = fetch(address);
    if (frame == nullptr) return Outcome::kUnreadable;
    links_[stack->size] = address;
    const Outcome taken = take(frame, stack);
    if (taken != Outcome::kWhole) return taken;
    address = field<std::uint64_t>(frame, offsets_.frame_previous);
    if (address == 0 && !can_be_oldest(frame)) return Outcome::kImplausible;
  }
  return Outcome::kWhole;
}

// Among what was read; null if it is not there.
const unsigned char* StackReader::find(std::uint64_t address) noexcept {
  const std::uint64_t end = address + offsets_.frame_size;
  const std::size_t i = read_.find(address, end, next_);
  if (i != read_.count) {
    next_ = i;
    used_.spans[i].widen(address, end);
    return place_bytes_.of(i) + (address - read_.spans[i].low);
  }
  const unsigned char* frame = near_.find(address, offsets_.frame_size);
  if (frame == nullptr) frame = elsewhere_.find(address, offsets_.frame_size);
  if (frame != nullptr) used_.add(address, end);
  return frame;
}

// What was not: pages, where there are likely more frames, else little more than the frame.
const unsigned char* StackReader::fetch(std::uint64_t address) noexcept {
  constexpr std::uint64_t kNear = kPages * kPage;
  ++reads_;
  used_.add(address, address + offsets_.frame_size);
  const std::uint64_t missed = last_missed_;
  last_missed_ = address;
  const bool is_first = near_.high == 0 && read_.count == 0;
  const bool is_below = address < near_.low && near_.low - address < kNear;
  if (is_first || is_below) return load(near_, address);
  if (missed != 0 && address - missed + kNear < 2 * kNear) return load(elsewhere_, address);
  return load_little(elsewhere_, address);
}

const unsigned char* StackReader::load(Window& window, std::uint64_t address) noexcept {
  // To the end of the page in which the frame ends: from there on downwards all is likely frames.
  const std::uint64_t last = (address + offsets_.frame_size - 1) & ~(kPage - 1);
  window.low = window.high = last + kPage;
  std::array<Piece, kPages> pieces;
  for (std::uint64_t i = 0; i < kPages; ++i) {
    pieces[i] = window.piece(last - i * kPage, last - i * kPage + kPage);
  }
  window.low -= memory_.read_pieces(pieces.data(), kPages) * kPage;
  return window.find(address, offsets_.frame_size);
}

// Of the frame's page alone: one that was called a moment ago lies above who called it.
const unsigned char* StackReader::load_little(Window& window, std::uint64_t address) noexcept {
  constexpr std::uint64_t kBelow = 1024;
  window.high = address + offsets_.frame_size;
  window.low = std::max(address & ~(kPage - 1), address - kBelow);
  const Piece piece = window.piece(window.low, window.high);
  if (memory_.read_pieces(&piece, 1) != 1) window.forget();
  return window.find(address, offsets_.frame_size);
}

StackReader::Outcome StackReader::take(const unsigned char* frame, RawStack* stack) const noexcept {
  if (offsets_.frame_owner != GILKNOCKER_NONE) {
    // There are one or two artificial kinds; any other number is no owner, but memory used anew.
    const std::uint32_t owner = frame[offsets_.frame_owner];
    if (owner > kGreatestFunctionOwner && owner < offsets_.artificial_from) {
      return Outcome::kImplausible;
    }
    if (owner > offsets_.artificial_from + 1) return Outcome::kImplausible;
    if (owner >= offsets_.artificial_from) return Outcome::kWhole;
  }
  const std::uint64_t code = field<std::uint64_t>(frame, offsets_.frame_code) & ~offsets_.code_tag;
  if (!plausible(code)) return Outcome::kImplausible;
  std::int64_t instruction = 0;
  if (offsets_.code_instructions == GILKNOCKER_NONE) {
    instruction = std::int64_t{2} * field<std::int32_t>(frame, offsets_.frame_instruction);
  } else {
    const std::uint64_t at = field<std::uint64_t>(frame, offsets_.frame_instruction);
    instruction = static_cast<std::int64_t>(at - code - offsets_.code_instructions);
  }
  // -2: created, and not begun. What points elsewhere belongs to another code object.
  if (instruction < -2 || instruction >= kMostCode || instruction % 2 != 0) {
    return Outcome::kImplausible;
  }
  stack->frames[stack->size++] = {code, static_cast<std::int32_t>(instruction)};
  return Outcome::kWhole;
}

// Where an interpreter puts frames of its own between C code and Python, one of those. Else any
// that runs, but for a generator's, whose caller is forgotten as soon as it yields.
bool StackReader::can_be_oldest(const unsigned char* frame) const noexcept {
  constexpr unsigned char kOfGenerator = 1;
  constexpr std::uint32_t kNoArtificial = 256;
  if (offsets_.frame_owner != GILKNOCKER_NONE) {
    const unsigned char owner = frame[offsets_.frame_owner];
    return offsets_.artificial_from < kNoArtificial ? owner >= offsets_.artificial_from
                                                    : owner != kOfGenerator;
  }
  constexpr unsigned char kExecuting = 0;
  constexpr unsigned char kUnwinding = 2;
  if (offsets_.frame_state == GILKNOCKER_NONE) return true;
  const unsigned char state = frame[offsets_.frame_state];
  return state == kExecuting || state == kUnwinding;
}

bool StackReader::in_heap() const noexcept { return offsets_.frame_owner == GILKNOCKER_NONE; }

// Whether each frame of a stack is still called by the next one: where every frame is kept. So long
// a list takes some calls, but few beside those that found it.
bool StackReader::is_linked(const Guess& guess, const RawStack& stack) const noexcept {
  std::array<std::uint64_t, Memory::kMostPieces> callers;
  std::array<Piece, Memory::kMostPieces> pieces;
  for (std::size_t begin = 0; begin < stack.size; begin += pieces.size() - 1) {
    const std::size_t count = std::min(stack.size - begin, pieces.size() - 1);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t frame = links_[begin + i];
      pieces[i] = {frame + offsets_.frame_previous, &callers[i], sizeof callers[i]};
    }
    pieces[count] = {guess.thread + offsets_.thread_frame, &callers[count], sizeof callers[count]};
    if (memory_.read_pieces(pieces.data(), count + 1) != count + 1) return false;
    if (callers[count] != links_[0]) return false;
    for (std::size_t i = 0; i < count && begin + i + 1 < stack.size; ++i) {
      if (callers[i] != links_[begin + i + 1]) return false;
    }
  }
  return true;
}

// Whether the thread's newest frame is still that one.
bool StackReader::is_newest(const Guess& guess, std::uint64_t frame) const noexcept {
  std::uint64_t now = 0;
  if (!memory_.read(guess.thread + offsets_.thread_frame, &now)) return false;
  if (offsets_.cframe_frame == GILKNOCKER_NONE) return now == frame;
  return plausible(now) && memory_.read(now + offsets_.cframe_frame, &now) && now == frame;
}

}  // namespace gilknocker
