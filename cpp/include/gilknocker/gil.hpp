// The interface to the GIL: the only way in which the meter touches it. Faked in the C++ tests.
//
// Thread safety
//   Gil      look() may be called by any thread at any time: it takes no lock and is not seen by
//            the program. open_state() is called by a thread that holds the GIL.
//   OwnThreadState
//            belongs to whoever has it; from occupy() on to the thread that called that. But for
//            close(): another thread that holds the GIL may call that once, while the owner
//            promises not to use the state.
// What a thread state is to the interpreter is made and unmade only by who holds the GIL: others
// who hold it walk through all of them (docs/cpython-rules.md). Near interpreter shutdown acquire()
// may never return, or end the thread by a forced unwind (CPython <= 3.13.0): no frame above it may
// be noexcept or swallow exceptions.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "gilknocker/live_count.hpp"

namespace gilknocker {

enum class Look : unsigned char {
  kDisabled,  // there is no GIL at this instant (free-threaded build)
  kFree,
  kHeld,  // by a thread of the program
  kOwn,   // by a knocker of ours: not contention
};

// A thread of the program, as the interpreter knows it.
struct HolderId {
  std::uint64_t serial = 0;    // never given out again in an interpreter
  std::uint64_t ident = 0;     // threading.get_ident()
  std::int64_t native_id = 0;  // the system's; 0 where the interpreter does not keep it

  bool operator==(const HolderId&) const = default;
};

// Who holds the GIL, as an address to read from and not to follow, and in which turn: two equal
// marks mean that no other thread has held it between them.
struct HolderMark {
  std::uint64_t state = 0;  // of the thread
  std::uint64_t turn = 0;   // counts how often the GIL went from one thread to another

  bool operator==(const HolderMark&) const = default;
};

// The beginning of a thread state, copied in one read: the state may be gone after the first of
// two.
struct StateCopy {
  static constexpr std::size_t kMost = 512;

  std::size_t size = 0;  // 0: there is none
  std::array<unsigned char, kMost> bytes;
};

// Addresses: begin <= address < end.
struct MemoryRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

using ThreadName = std::array<char, 64>;  // UTF-8, ends with a zero; empty if there is none

// The thread state by which one of our threads takes the GIL.
class OwnThreadState : private LiveCount<OwnThreadState> {
 public:
  using LiveCount<OwnThreadState>::value;

  OwnThreadState() = default;
  OwnThreadState(const OwnThreadState&) = delete;
  OwnThreadState& operator=(const OwnThreadState&) = delete;
  // Frees the state's own memory, and never touches the interpreter: a state whose thread was ended
  // by a forced unwind leaves its thread state to the dying interpreter.
  virtual ~OwnThreadState() = default;

  // On the thread that will use it, which does not hold the GIL. False if it can have none.
  virtual bool occupy() = 0;
  // Before each acquire(): waits while a fork is under way.
  virtual void get_ready() {}
  virtual void acquire() = 0;
  // Acquires, and tells whether it had to wait, where the system can tell: dearer than acquire(),
  // and for knocks that answer for looks.
  virtual std::optional<bool> acquire_and_tell() = 0;
  virtual void release() = 0;  // REQUIRES: this state holds the GIL

  // The two ways out; nothing may be asked of the state after them. Either leave() by its owner,
  // with this state holding the GIL: it is given back for good; or close() by another thread that
  // holds the GIL.
  virtual void leave() = 0;
  virtual void close() = 0;
};

class HeldSource;

class Gil {
 public:
  Gil() = default;
  Gil(const Gil&) = delete;
  Gil& operator=(const Gil&) = delete;
  virtual ~Gil() = default;

  // False where the lock word could not be found and proven: knocks are all there is then.
  virtual bool can_look() const noexcept = 0;
  virtual Look look() const noexcept = 0;  // REQUIRES: can_look()
  // Who holds it at this instant, where that can be told without it.
  virtual std::optional<HolderId> holder() const noexcept { return std::nullopt; }
  // So many bytes of a thread state say whose it is, and what it was asked for: at most
  // StateCopy::kMost; 0 where nothing does.
  virtual std::size_t state_size() const noexcept { return 0; }
  // Of a holder's mark that was just taken, though it may have let go since.
  virtual StateCopy copy_state(const HolderMark&) const noexcept { return {}; }
  virtual std::optional<HolderId> identify(const StateCopy&) const noexcept { return std::nullopt; }
  // Nothing where nobody holds it, or that cannot be told.
  virtual std::optional<HolderMark> mark() const noexcept { return std::nullopt; }
  // Whether that one was asked by a waiting thread to let go, and has not done so yet; or had not
  // when its state was copied.
  virtual bool asked_to_let_go(const HolderMark&) const noexcept { return false; }
  virtual bool asked_to_let_go(const StateCopy&) const noexcept { return false; }
  // In which memory threads that wait for it sleep, as the kernel sees it; nothing where that is
  // not known.
  virtual std::optional<MemoryRange> waiting_place() const noexcept { return std::nullopt; }
  // What the program calls that thread. REQUIRES: a state of the calling thread holds the GIL.
  virtual ThreadName name_of(const HolderId&) const { return {}; }
  // Whether one thread may close the state that another occupies.
  virtual bool closes_for_others() const noexcept { return true; }
  // What counts its holds; null where nothing can.
  virtual HeldSource* held_source() noexcept { return nullptr; }
  // Null when the interpreter has no room for another thread. REQUIRES: the GIL held.
  virtual std::unique_ptr<OwnThreadState> open_state() = 0;
};

}  // namespace gilknocker
