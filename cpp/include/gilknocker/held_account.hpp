// For how long the program's threads have held the GIL in all, and each of them: one account of the
// process, kept by the hooks, that any number of meters read as differences.
//
// What is held is one number that changes at the ends of a hold only: with T cycles held before,
//
//     free                 2 * T
//     held since `s`       2 * (T - s) + 1        so that at `now` it is 2 * (T - s + now)
//
// Who loads the same number before and after reading the counter has therefore seen what was true
// at that moment: had a hold ended or begun in between, the number would be another, or the holds
// adjoin and it means the same. No lock, and one store for the hook.
//
// Thread safety: "the lock" is the mutex inside the GIL.
//   find(), add(), take(), drop()    by the hooks, with the lock held: one at a time.
//   begin() to forget()              with the GIL held: no hook is in the first four then. So plain
//                                    members suffice for what only these touch.
//   read()                           any thread.
//   held_, takes_, own_takes_        written with the lock or the GIL held, read by anybody:
//   atomic.
//     Relaxed stores suffice, for each number stands for itself; the reader's fences keep its loads
//     on their sides of the counter. That another CPU sees a store some ns late shifts the end of a
//     hold by as much.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "gilknocker/gil.hpp"
#include "gilknocker/hook_clock.hpp"
#include "gilknocker/mapped_array.hpp"

namespace gilknocker {

// What the account said at one moment.
struct HeldReading {
  Instant at;
  Cycles held = 0;
  std::uint64_t takes = 0;      // by threads of the program
  std::uint64_t own_takes = 0;  // by ours: whoever has just taken it knows whether the hooks see it
  std::uint64_t era = 0;        // readings of two eras have nothing in common
  bool counts = false;
};

// A number that only the lock's holder writes, and anybody reads.
class SharedNumber {
 public:
  std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }
  void add(std::uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void subtract(std::uint64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) - amount, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// The same, of what is read with the GIL held only: no hook is at it then. A plain number, for to
// change one takes a third of the instructions.
class PlainNumber {
 public:
  std::uint64_t get() const noexcept { return value_; }
  void add(std::uint64_t amount) noexcept { value_ += amount; }
  void subtract(std::uint64_t amount) noexcept { value_ -= amount; }

 private:
  std::uint64_t value_ = 0;
};

template <typename Number>
class HeldSum {
 public:
  void take(Cycles now) noexcept { number_.subtract(2 * now - 1); }
  void drop(Cycles now) noexcept { number_.add(2 * now - 1); }
  void add(Cycles held) noexcept { number_.add(2 * held); }
  void restore(std::uint64_t number) noexcept { number_.add(number - number_.get()); }
  std::uint64_t number() const noexcept { return number_.get(); }
  Cycles at(Cycles now) const noexcept { return at(number(), now); }
  // Signed inside: to a CPU whose counter is behind, a hold has not begun yet.
  static Cycles at(std::uint64_t number, Cycles now) noexcept {
    const std::uint64_t twice = (number & 1) != 0 ? number - 1 + 2 * now : number;
    return static_cast<Cycles>(static_cast<std::int64_t>(twice) >> 1);
  }

 private:
  Number number_;
};

// A thread that has held the GIL since the account began. What the hooks touch is in one cache
// line.
struct alignas(64) AccountHolder {
  std::uint64_t serial = 0;  // from 1; never given out again in an interpreter. 0: an empty cell
  const void* interpreter = nullptr;  // or what else tells it from all that were and will be
  HeldSum<PlainNumber> held;
  std::uint64_t ident = 0;
  std::int64_t native_id = 0;
  ThreadName name{};
};

// Its cycles up to one moment.
struct HolderReading {
  HolderId id;  // all zero: the threads that found no room, or were folded
  const void* interpreter = nullptr;
  ThreadName name{};
  Cycles held = 0;
};

class HeldAccount {
 public:
  static constexpr std::size_t kCells = 2'048;  // a power of 2; half of them may be in use
  static constexpr std::size_t kEndedKept = 256;

  explicit HeldAccount(std::size_t cells = kCells);  // throws std::bad_alloc

  // ---- by the hooks ----
  AccountHolder* find(std::uint64_t serial, const void* interpreter) noexcept {
    // Serials are given out one after the other: their cells lie side by side, and do not collide.
    for (std::size_t i = serial & mask_;; i = (i + 1) & mask_) {
      AccountHolder& cell = cells_[i];
      if (cell.serial == serial && cell.interpreter == interpreter) return &cell;
      if (cell.serial == 0) return nullptr;
    }
  }
  // The same, but null also where it is not in its first cell.
  AccountHolder* find_at_once(std::uint64_t serial, const void* interpreter) noexcept {
    AccountHolder& cell = cells_[serial & mask_];
    return cell.serial == serial && cell.interpreter == interpreter ? &cell : nullptr;
  }
  // Of a thread that find() does not know: its cell if it had the GIL by another state, as one has
  // that is made anew for each callback; the cell of all others where there is no room.
  AccountHolder& add(const HolderId& id, const void* interpreter) noexcept;
  void take(AccountHolder& holder, Cycles now) noexcept {
    held_.take(now);
    holder.held.take(now);
    holder_ = &holder;
    takes_.add(1);
  }
  void take_as_ours() noexcept { own_takes_.add(1); }
  void drop(Cycles now) noexcept {
    AccountHolder* const holder = holder_;
    if (holder == nullptr) return;  // one of ours
    holder_ = nullptr;
    held_.drop(now);
    holder->held.drop(now);
  }

  // ---- with the GIL held ----
  // The hooks are in; the caller is `holder`, or one of ours (null). And are out: nothing counts.
  void begin(AccountHolder* holder, Cycles now) noexcept;
  void end(Cycles now) noexcept;
  // All of them, and last the others together.
  std::vector<HolderReading> holders(Cycles now) const;
  bool is_crowded() const noexcept { return used_ == order_.size(); }
  // Makes room: puts together who has ended, but for those kEndedKept that held it longest.
  void fold(const std::function<bool(const AccountHolder&)>& is_alive);
  // The next holder without a name; null if there is none.
  AccountHolder* unnamed() noexcept { return named_ == used_ ? nullptr : &cells_[order_[named_]]; }
  // Of unnamed(), which then is another one.
  void name(const ThreadName& name) noexcept;
  // In a forked child: nobody counts, and the parent's threads are not here.
  void forget() noexcept;

  // ---- any thread ----
  std::uint64_t own_takes() const noexcept { return own_takes_.get(); }
  HeldReading read() const noexcept { return read_by(&HookClock::instant); }
  template <typename ReadInstant>
  HeldReading read_by(ReadInstant instant) const noexcept {
    HeldReading reading;
    reading.era = era_.load(std::memory_order_acquire);
    for (int i = 0; i < kTries; ++i) {
      const std::uint64_t before = held_.number();
      reading.at = instant();
      reading.held = held_.at(before, reading.at.cycles);
      if (held_.number() == before) break;
    }
    reading.takes = takes_.get();
    reading.own_takes = own_takes_.get();
    reading.counts = reading.era % 2 == 1 && era_.load(std::memory_order_acquire) == reading.era;
    return reading;
  }

 private:
  // A hand-over comes in between once in two tries, at the most that CPython can do. Who has bad
  // luck so often reads the length of one hold too much, or too little.
  static constexpr int kTries = 100;

  AccountHolder& cell_for(const HolderId& id, const void* interpreter) noexcept;
  AccountHolder* of_thread(const HolderId& id) noexcept;
  void empty() noexcept;

  MappedArray<AccountHolder> cells_;
  MappedArray<std::uint32_t> order_;  // the cells in use
  // The same by native ids, hashed as the cells are by serials: an index plus 1, or 0. Not those of
  // threads that have none.
  MappedArray<std::uint32_t> threads_;
  const std::size_t mask_;
  std::size_t used_ = 0;
  std::size_t named_ = 0;  // the first so many in order_
  AccountHolder others_{};
  AccountHolder* holder_ = nullptr;  // of the hold that counts
  HeldSum<SharedNumber> held_;
  SharedNumber takes_;
  SharedNumber own_takes_;
  // Odd: the hooks are in. Release and acquire: who sees them in sees the hold they began with.
  std::atomic<std::uint64_t> era_{0};
};

}  // namespace gilknocker
