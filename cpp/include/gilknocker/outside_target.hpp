// Another process as a watch has it: its memory, its Python's layout by name, and a thread that
// looks.
//
// Thread safety: stack(), start() and stop() belong to the owner; read() and gone() may be
// called by any thread. No thread of ours touches our own GIL.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gilknocker/outside_gil.hpp"
#include "gilknocker/outside_watch.hpp"
#include "gilknocker/worker.hpp"

namespace gilknocker {

// Offsets and addresses, set by the names that gilknocker_own_layout() gives them.
class OutsideLayout {
 public:
  OutsideLayout() noexcept;

  // False if there is no such name.
  bool set(const std::string& name, std::uint64_t value);

  OutsideAddresses addresses() const noexcept;
  const StackOffsets& stacks() const noexcept { return stacks_; }

 private:
  StackOffsets stacks_{};
  std::uint64_t gil_ = 0;
  std::uint64_t locked_ = 0;
  std::uint64_t last_holder_ = 0;
  std::uint64_t switch_number_ = 0;
  OutsideAddresses state_;
};

class OutsideTarget {
 public:
  OutsideTarget(std::int64_t pid, const OutsideLayout& layout, const Clock& clock);
  OutsideTarget(const OutsideTarget&) = delete;
  OutsideTarget& operator=(const OutsideTarget&) = delete;
  ~OutsideTarget() { stop(); }

  // The frames of a thread, the oldest first; false if they could not be read whole.
  bool stack(std::uint64_t thread_state, std::vector<Frame>* frames);

  void start(Nanos interval, std::uint64_t seed);  // once
  void stop() noexcept;
  bool gone() const noexcept;
  OutsideReading read() const;

 private:
  struct Run;  // what the thread needs, which it keeps alive

  const OutsideLayout layout_;
  const Clock& clock_;
  const std::int64_t pid_;
  const ProcessMemory memory_;
  StackReader reader_;
  FrameTable frames_;
  std::shared_ptr<Run> run_;
  bool joined_ = false;
};

}  // namespace gilknocker
