#include "gilknocker/outside_gil.hpp"

#include <array>

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
  const HolderId id = id_of(before->state);
  if (id == HolderId{} || mark() != before) return std::nullopt;
  return id;
}

HolderId OutsideGil::id_of(std::uint64_t thread_state) const noexcept {
  std::uint64_t serial = 0;
  HolderId id;
  const bool has_native_id = addresses_.state_native_id != GILKNOCKER_NONE;
  const std::array<Piece, 3> pieces{{
      {thread_state + addresses_.state_id, &serial, sizeof serial},
      {thread_state + addresses_.state_ident, &id.ident, sizeof id.ident},
      {thread_state + addresses_.state_native_id, &id.native_id, sizeof id.native_id},
  }};
  const std::size_t wanted = has_native_id ? 3 : 2;
  if (memory_.read_pieces(pieces.data(), wanted) != wanted) return {};
  id.serial = serial + 1;  // from 1: all zero is nobody
  return id;
}

}  // namespace gilknocker
