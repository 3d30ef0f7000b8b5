#include "gilknocker/own_holders.hpp"

namespace gilknocker {

OwnHolders::~OwnHolders() {
  Block* block = first_.next.load(std::memory_order_acquire);
  while (block != nullptr) {
    Block* next = block->next.load(std::memory_order_acquire);
    delete block;
    block = next;
  }
}

bool OwnHolders::replace(Block& block, const void* old_value, const void* new_value) noexcept {
  for (auto& slot : block.slots) {
    const void* expected = old_value;
    if (slot.compare_exchange_strong(expected, new_value, std::memory_order_relaxed)) return true;
  }
  return false;
}

void OwnHolders::add(const void* holder) {
  Block* block = &first_;
  while (!replace(*block, nullptr, holder)) {
    Block* next = block->next.load(std::memory_order_acquire);
    if (next == nullptr) {
      auto* fresh = new Block;
      if (block->next.compare_exchange_strong(next, fresh, std::memory_order_acq_rel,
                                              std::memory_order_acquire)) {
        next = fresh;
      } else {
        delete fresh;  // another thread was faster: `next` is its block
      }
    }
    block = next;
  }
}

void OwnHolders::remove(const void* holder) noexcept {
  for (Block* block = &first_; block != nullptr;
       block = block->next.load(std::memory_order_acquire)) {
    if (replace(*block, holder, nullptr)) return;
  }
}

bool OwnHolders::contains(const void* holder) const noexcept {
  for (const Block* block = &first_; block != nullptr;
       block = block->next.load(std::memory_order_acquire)) {
    for (const auto& slot : block->slots) {
      if (slot.load(std::memory_order_relaxed) == holder) return true;
    }
  }
  return false;
}

bool OwnHolders::empty() const noexcept {
  for (const Block* block = &first_; block != nullptr;
       block = block->next.load(std::memory_order_acquire)) {
    for (const auto& slot : block->slots) {
      if (slot.load(std::memory_order_relaxed) != nullptr) return false;
    }
  }
  return true;
}

void OwnHolders::clear() noexcept {
  for (Block* block = &first_; block != nullptr;
       block = block->next.load(std::memory_order_acquire)) {
    for (auto& slot : block->slots) slot.store(nullptr, std::memory_order_relaxed);
  }
}

}  // namespace gilknocker
