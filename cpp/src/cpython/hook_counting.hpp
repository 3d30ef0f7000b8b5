// What the hooks count for every meter: the account of the process, kept at each take and drop.
//
// Thread safety: `account` is written once, with the GIL held and before the hooks are in; they
// read it inside the GIL's lock, which whoever wrote it has gone through since. Relaxed: what is
// behind it was published by that lock. count_take() and count_drop() as HeldAccount says.
#pragma once

#include <atomic>

#include "gilknocker/held_account.hpp"
#include "gilknocker/held_source.hpp"

namespace gilknocker::gil_hooks {

extern std::atomic<HeldAccount*> account;  // null while nobody counts

void count_take(HeldAccount& of) noexcept;
inline void count_drop(HeldAccount& of) noexcept { of.drop(HookClock::now()); }

// In a forked child, while it is the only thread: nobody counts.
void forget_account() noexcept;

// With the GIL held: up to now; and up to a moment since which the caller has held it.
std::vector<HolderReading> read_holders();
std::vector<HolderReading> read_holders(Cycles at);

// Of the process. Null where the hooks cannot be put in at all.
HeldSource* held_source() noexcept;

}  // namespace gilknocker::gil_hooks
