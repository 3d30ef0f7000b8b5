// The GIL of another process, read through its memory: nothing is injected and nothing stopped.
//
// Thread safety: as a Gil's look(): any thread at any time. gone_ is written by whoever reads, and
// read by the same: relaxed, for nothing else is read on the strength of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "gilknocker/gil.hpp"
#include "gilknocker/memory.hpp"

namespace gilknocker {

// Where it is in that process, and what of a thread state says whose it is.
struct OutsideAddresses {
  std::uint64_t locked = 0;
  std::uint64_t last_holder = 0;
  std::uint64_t switch_number = 0;
  std::uint32_t state_id = 0;  // bytes into a thread state, as are the next two
  std::uint32_t state_ident = 0;
  std::uint32_t state_native_id = 0;  // GILKNOCKER_NONE on 3.10, which keeps none
};

class OutsideGil final : public Gil {
 public:
  OutsideGil(const Memory& memory, const OutsideAddresses& addresses) noexcept
      : memory_(memory), addresses_(addresses) {}

  bool can_look() const noexcept override { return true; }
  Look look() const noexcept override;
  std::optional<HolderId> holder() const noexcept override;
  std::optional<HolderMark> mark() const noexcept override;
  std::size_t state_size() const noexcept override;
  StateCopy copy_state(const HolderMark& mark) const noexcept override;
  std::optional<HolderId> identify(const StateCopy& copy) const noexcept override;
  // It is not ours to take.
  std::unique_ptr<OwnThreadState> open_state() override { return nullptr; }

  // Whether the memory could not be read any more, since the process has ended.
  bool gone() const noexcept { return gone_.load(std::memory_order_relaxed); }

 private:
  struct State {
    std::int32_t locked = 0;
    std::uint64_t holder = 0;
    std::uint64_t turn = 0;
  };
  std::optional<State> state() const noexcept;
  bool has_native_id() const noexcept;

  const Memory& memory_;
  const OutsideAddresses addresses_;
  mutable std::atomic<bool> gone_{false};
};

}  // namespace gilknocker
