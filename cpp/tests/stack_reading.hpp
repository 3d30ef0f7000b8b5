// A stack as a reader gives it, to be compared.
//
// Thread safety: none.
#pragma once

#include <memory>
#include <vector>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/stack_reader.hpp"

namespace gilknocker {

using Outcome = StackReader::Outcome;

struct Reading {
  Outcome outcome;
  std::vector<RawFrame> frames;
  bool cut;

  bool operator==(const Reading&) const = default;
};

inline Reading read(StackReader& reader) {
  const auto stack = std::make_unique<RawStack>();
  const Outcome outcome = reader.read(FakePython::kThread, stack.get());
  if (outcome != Outcome::kWhole) return {outcome, {}, false};
  return {outcome, {stack->frames.begin(), stack->frames.begin() + stack->size}, stack->cut};
}

struct LookCost {
  int calls;
  std::size_t bytes;
};

// Of one look, which must find so many frames.
inline LookCost cost_of(const FakePython& python, StackReader& reader, std::size_t depth) {
  const int calls = python.memory.calls;
  const std::size_t bytes = python.memory.bytes;
  CHECK_EQ(read(reader).frames.size(), depth);
  return {python.memory.calls - calls, python.memory.bytes - bytes};
}

}  // namespace gilknocker
