// CPython's GIL, behind the Gil interface.
//
// Thread safety
//   make()       with the GIL held; lets go of it for moments, where the interpreter may end the
//                calling thread by a forced unwind: no frame above it may catch that. Made once
//                per process and never freed: threads of ours may outlive every orderly end.
//   instance()   any thread, after make().
//   layout_      written once in the constructor, before any other thread can see the object.
//   own_holders_ has its own contract.
#pragma once

#include <cstddef>
#include <memory>

#include "cpython/gil_layout.h"
#include "gilknocker/fork_gate.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/own_holders.hpp"
#include "gilknocker/thread_annotations.hpp"

namespace gilknocker {

class CPythonGil final : public Gil {
 public:
  static CPythonGil* make();  // null without memory
  static CPythonGil& instance() noexcept { return *the_instance_; }

  bool can_look() const noexcept override { return problem_ == nullptr; }
  Look look() const noexcept override;
  std::optional<HolderId> holder() const noexcept override;
  std::optional<HolderMark> mark() const noexcept override;
  std::size_t state_size() const noexcept override;
  StateCopy copy_state(const HolderMark& mark) const noexcept override;
  std::optional<HolderId> identify(const StateCopy& copy) const noexcept override;
  bool asked_to_let_go(const HolderMark& mark) const noexcept override;
  bool asked_to_let_go(const StateCopy& copy) const noexcept override;
  std::optional<MemoryRange> waiting_place() const noexcept override;
  ThreadName name_of(const HolderId& id) const override;
  bool closes_for_others() const noexcept override;
  std::unique_ptr<OwnThreadState> open_state() override;
  HeldSource* held_source() noexcept override;
  // Whether there is a GIL now. REQUIRES: can_look()
  bool enabled() const noexcept { return gilknocker_is_enabled(&layout_) != 0; }

  // The thread state that holds the GIL, or held it last. REQUIRES: can_look()
  const void* holder_state() const noexcept { return gilknocker_last_holder(&layout_); }
  // Where that is kept, to be read as it is: atomically.
  void* const* last_holder() const noexcept { return layout_.last_holder; }
  // The same of whether another thread has asked the holder to let go; null where each thread state
  // has its own.
  const int* drop_request() const noexcept { return layout_.drop_request; }
  // Whether a thread state is one of ours.
  bool is_own(const void* state) const noexcept { return own_holders_.contains(state); }

  // A thread of Python's that works for the meter: from begin to end, which it calls itself with
  // the GIL held, its holds are ours. begin throws std::bad_alloc.
  void begin_own();
  void end_own() noexcept;

  // Why looks are not possible, in a few words; null where they are.
  const char* problem() const noexcept { return problem_; }

  // Finds and proves the lock word with all offsets moved by `shift` bytes. Null, or what is
  // wrong. REQUIRES: the GIL held; lets go of it for moments.
  static const char* probe(gilknocker_gil* layout, std::ptrdiff_t shift);

 private:
  CPythonGil();
  // Around every fork, see process::at_fork(). The gate is closed in between.
  static void before_fork() noexcept GILKNOCKER_NO_ANALYSIS;
  static void after_fork_in_parent() noexcept GILKNOCKER_NO_ANALYSIS;
  static void forget_parent() noexcept GILKNOCKER_NO_ANALYSIS;

  // Guarded by the GIL (or by the import of the module).
  static inline constinit CPythonGil* the_instance_ = nullptr;

  gilknocker_gil layout_{};
  const char* problem_ = nullptr;
  void* const interpreter_;
  OwnHolders own_holders_;
  SystemClock clock_;
  ForkGate gate_{clock_};
};

// Whether the interpreter is past its exit handlers, and its threads may be gone.
bool interpreter_ends() noexcept;

// How often this process was forked from the one that loaded the extension: objects made under
// another number belong to an ancestor, whose threads are not here.
long fork_generation() noexcept;

}  // namespace gilknocker
