#include "gilknocker/outside_gil.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "gilknocker/stack_offsets.h"

namespace gilknocker {

std::optional<OutsideGil::State> OutsideGil::state() const noexcept {
  State state;
  const std::array<Piece, 3> pieces{{
      {addresses_.locked, &state.locked, sizeof state.locked},
      {addresses_.last_holder, &state.holder, sizeof state.holder},
      {addresses_.switch_number, &state.turn, sizeof state.turn},
  }};
  if (memory_.read_pieces(pieces.data(), pieces.size()) == pieces.size()) return state;
  gone_.store(true, std::memory_order_relaxed);
  return std::nullopt;
}

Look OutsideGil::look() const noexcept {
  const std::optional<State> now = state();
  return now && now->locked == 1 ? Look::kHeld : Look::kFree;
}

std::optional<HolderMark> OutsideGil::mark() const noexcept {
  const std::optional<State> now = state();
  if (!now || now->locked != 1 || now->holder == 0) return std::nullopt;
  return HolderMark{now->holder, now->turn};
}

std::optional<HolderId> OutsideGil::holder() const noexcept {
  const std::optional<HolderMark> before = mark();
  if (!before) return std::nullopt;
  const std::optional<HolderId> id = identify(copy_state(*before));
  return mark() == before ? id : std::nullopt;
}

std::size_t OutsideGil::state_size() const noexcept {
  std::uint32_t last = std::max(addresses_.state_id, addresses_.state_ident);
  if (has_native_id()) last = std::max(last, addresses_.state_native_id);
  return last + sizeof(std::uint64_t);
}

StateCopy OutsideGil::copy_state(const HolderMark& mark) const noexcept {
  StateCopy copy;
  const std::size_t size = state_size();
  if (size > StateCopy::kMost) return copy;
  if (memory_.read(mark.state, copy.bytes.data(), size)) copy.size = size;
  return copy;
}

std::optional<HolderId> OutsideGil::identify(const StateCopy& copy) const noexcept {
  if (copy.size < state_size()) return std::nullopt;
  const auto word_at = [&](std::uint32_t offset) {
    std::uint64_t word = 0;
    std::memcpy(&word, copy.bytes.data() + offset, sizeof word);
    return word;
  };
  HolderId id;
  id.serial = word_at(addresses_.state_id) + 1;  // from 1: all zero is nobody
  id.ident = word_at(addresses_.state_ident);
  if (has_native_id()) {
    id.native_id = static_cast<std::int64_t>(word_at(addresses_.state_native_id));
  }
  return id;
}

bool OutsideGil::has_native_id() const noexcept {
  return addresses_.state_native_id != GILKNOCKER_NONE;
}

}  // namespace gilknocker
