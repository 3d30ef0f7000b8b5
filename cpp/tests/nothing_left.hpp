// What a test leaves alive: nothing. Abandoned threads of its own get some time to end first.
#pragma once

#include <chrono>
#include <thread>

#include "check.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/sampler.hpp"
#include "gilknocker/trace_book.hpp"
#include "gilknocker/wait_log.hpp"
#include "gilknocker/worker.hpp"

#ifndef GILKNOCKER_DEBUG
#error "without GILKNOCKER_DEBUG objects are not counted: these tests would check nothing"
#endif

namespace gilknocker {

// Waits until `predicate` holds: false if it does not within 20 s, which no machine needs.
template <typename Predicate>
bool eventually(Predicate predicate) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!predicate()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// Declared first in a test, so that its destructor looks when all else is gone.
class NothingLeft {
 public:
  NothingLeft() = default;
  NothingLeft(const NothingLeft&) = delete;
  NothingLeft& operator=(const NothingLeft&) = delete;
  ~NothingLeft() {
    eventually([] {
      return Sampler::value() == 0 && Ledger::value() == 0 && Worker::value() == 0 &&
             OwnThreadState::value() == 0 && WaitChunk::value() == 0 && TraceBook::value() == 0;
    });
    CHECK_EQ(Sampler::value(), 0);
    CHECK_EQ(Ledger::value(), 0);
    CHECK_EQ(Worker::value(), 0);
    CHECK_EQ(OwnThreadState::value(), 0);
    CHECK_EQ(WaitChunk::value(), 0);
    CHECK_EQ(TraceBook::value(), 0);
  }
};

}  // namespace gilknocker
