// Where a meter reads what the hooks count: the account of the process, or that of a test.
//
// Thread safety
//   read(), own_takes(), distrust()   any thread, also without the GIL.
//   begin(), end(), tidy()            with the GIL held.
#pragma once

#include <atomic>
#include <cstdint>

#include "gilknocker/held_account.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class HeldSource {
 public:
  HeldSource() = default;
  HeldSource(const HeldSource&) = delete;
  HeldSource& operator=(const HeldSource&) = delete;
  virtual ~HeldSource() = default;

  // One meter more wants the holds counted, or one less. begin() returns null, or why they cannot
  // be counted: then end() must not follow.
  virtual const char* begin() = 0;
  virtual void end() noexcept = 0;

  virtual HeldReading read() const noexcept = 0;
  // How often one of ours has taken the GIL, as the hooks saw it: whoever has just done so knows
  // whether they see anything.
  virtual std::uint64_t own_takes() const noexcept = 0;
  // They do not: somebody else has put other pointers in their place. Nothing counts from now on,
  // until the next begin() that is the first.
  virtual void distrust() noexcept = 0;
  // Names and room for the holders: by who has the GIL anyway, a few at a time.
  virtual void tidy() noexcept = 0;
  virtual Nanos cost() const noexcept = 0;  // of counting one take and one drop, about
};

// One meter's wish to count.
//
// Thread safety: with the GIL held, but for problem(): atomic, and relaxed, for it points to
// constants.
class Counting {
 public:
  explicit Counting(HeldSource* source) noexcept : source_(source) {}
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;
  ~Counting() = default;  // REQUIRES: off, or the process is a forked child

  // Null, or why not.
  const char* turn_on() {
    if (on_) return nullptr;
    const char* const problem = source_ == nullptr ? "nothing counts here" : source_->begin();
    on_ = problem == nullptr;
    problem_.store(problem, std::memory_order_relaxed);
    return problem;
  }
  // `why`: what problem() says from then on.
  void turn_off(const char* why = nullptr) noexcept {
    if (on_) source_->end();
    on_ = false;
    if (why != nullptr) problem_.store(why, std::memory_order_relaxed);
  }
  void tidy() noexcept {
    if (on_) source_->tidy();
  }
  bool is_on() const noexcept { return on_; }
  // Why it is off, though it is wanted; else null.
  const char* problem() const noexcept { return problem_.load(std::memory_order_relaxed); }

 private:
  HeldSource* const source_;
  bool on_ = false;
  std::atomic<const char*> problem_{nullptr};
};

}  // namespace gilknocker
