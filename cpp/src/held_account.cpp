#include "gilknocker/held_account.hpp"

#include <algorithm>

namespace gilknocker {

HeldAccount::HeldAccount(std::size_t cells)
    : cells_(cells), order_(cells / 2), threads_(cells), mask_(cells - 1) {}

// ---- by the hooks ------------------------------------------------------------------------------

AccountHolder& HeldAccount::cell_for(const HolderId& id, const void* interpreter) noexcept {
  std::size_t i = id.serial & mask_;
  while (cells_[i].serial != 0) i = (i + 1) & mask_;
  order_[used_++] = static_cast<std::uint32_t>(i);
  AccountHolder* const cell = new (&cells_[i]) AccountHolder{};
  cell->serial = id.serial;
  cell->interpreter = interpreter;
  cell->ident = id.ident;
  cell->native_id = id.native_id;
  if (id.native_id != 0) {
    std::size_t at = static_cast<std::size_t>(id.native_id) & mask_;
    while (threads_[at] != 0) at = (at + 1) & mask_;
    threads_[at] = static_cast<std::uint32_t>(i) + 1;
  }
  return *cell;
}

AccountHolder* HeldAccount::of_thread(const HolderId& id) noexcept {
  if (id.native_id == 0) return nullptr;
  for (std::size_t at = static_cast<std::size_t>(id.native_id) & mask_;; at = (at + 1) & mask_) {
    if (threads_[at] == 0) return nullptr;
    AccountHolder& cell = cells_[threads_[at] - 1];
    // The system gives out a number again, and memory for a stack; hardly ever both together.
    if (cell.native_id == id.native_id && cell.ident == id.ident) return &cell;
  }
}

AccountHolder& HeldAccount::add(const HolderId& id, const void* interpreter) noexcept {
  if (AccountHolder* const cell = of_thread(id)) return *cell;
  return is_crowded() ? others_ : cell_for(id, interpreter);
}

void HeldAccount::empty() noexcept {
  for (std::size_t i = 0; i < used_; ++i) cells_[order_[i]].serial = 0;
  for (std::size_t i = 0; i < threads_.size(); ++i) threads_[i] = 0;
  used_ = named_ = 0;
}

// ---- with the GIL held -------------------------------------------------------------------------

void HeldAccount::begin(AccountHolder* holder, Cycles now) noexcept {
  if (holder != nullptr) take(*holder, now);
  era_.store(era_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
}

void HeldAccount::end(Cycles now) noexcept {
  era_.store(era_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  drop(now);
}

void HeldAccount::forget() noexcept {
  const std::uint64_t era = era_.load(std::memory_order_relaxed);
  era_.store(era + 2 + era % 2, std::memory_order_release);  // even, and another one
  empty();
  holder_ = nullptr;
  new (&held_) HeldSum<SharedNumber>{};
  others_.held = {};
}

std::vector<HolderReading> HeldAccount::holders(Cycles now) const {
  std::vector<HolderReading> all;
  all.reserve(used_ + 1);
  const auto tell = [&all, now](const AccountHolder& cell) {
    all.push_back({{cell.serial, cell.ident, cell.native_id},
                   cell.interpreter,
                   cell.name,
                   cell.held.at(now)});
  };
  for (std::size_t i = 0; i < used_; ++i) tell(cells_[order_[i]]);
  tell(others_);
  return all;
}

void HeldAccount::fold(const std::function<bool(const AccountHolder&)>& is_alive) {
  struct Kept {
    HolderReading holder;
    std::uint64_t number;
    bool named;
    bool alive;
  };
  std::vector<Kept> all;
  all.reserve(used_);
  for (std::size_t i = 0; i < used_; ++i) {
    const AccountHolder& cell = cells_[order_[i]];
    all.push_back({{{cell.serial, cell.ident, cell.native_id}, cell.interpreter, cell.name, 0},
                   cell.held.number(),
                   i < named_,
                   &cell == holder_ || is_alive(cell)});
  }
  // The living first, then by what they held. Nobody among the others holds it now.
  std::stable_sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) {
    return a.alive != b.alive ? a.alive : !a.alive && a.number > b.number;
  });
  const auto ended =
      std::find_if(all.begin(), all.end(), [](const Kept& one) { return !one.alive; });
  const auto spare = static_cast<std::size_t>(all.end() - ended);
  const auto kept = ended + static_cast<std::ptrdiff_t>(std::min(spare, kEndedKept));
  for (auto one = kept; one != all.end(); ++one) others_.held.add(one->number / 2);
  all.erase(kept, all.end());
  std::stable_partition(all.begin(), all.end(), [](const Kept& one) { return one.named; });

  // Nothing below can fail.
  const bool holds = holder_ != nullptr && holder_ != &others_;
  const std::uint64_t serial = holds ? holder_->serial : 0;
  const void* const interpreter = holds ? holder_->interpreter : nullptr;
  empty();
  for (const Kept& one : all) {
    AccountHolder& cell = cell_for(one.holder.id, one.holder.interpreter);
    cell.name = one.holder.name;
    cell.held.restore(one.number);
    named_ += one.named;
  }
  if (holds) holder_ = find(serial, interpreter);
}

void HeldAccount::name(const ThreadName& name) noexcept { cells_[order_[named_++]].name = name; }

}  // namespace gilknocker
