#include "gilknocker/frame_table.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>

#include "gilknocker/line_table.hpp"

namespace gilknocker {

std::size_t FrameTable::Hash::operator()(const Frame& frame) const noexcept {
  const std::hash<std::string_view> hash;
  std::size_t value = hash(frame.function);
  value = value * 31 + hash(frame.file);
  return value * 31 + static_cast<std::size_t>(frame.line);
}

bool FrameTable::resolve(const RawStack& raw, Stack* stack) {
  if (codes_.size() > kMostCodes) codes_.clear();
  forget_the_dead(raw);
  stack->clear();
  for (std::size_t i = raw.size; i-- != 0;) {
    const RawFrame& frame = raw.frames[i];
    const Id* id = known(frame);
    if (id == nullptr) id = learn(frame, raw.deaths);
    if (id == nullptr) return false;
    // A frame that has called another and belongs to no line is the interpreter's own: what calls
    // __init__ for a class.
    if (i != 0 && frames_[*id].line == kNoLine) continue;
    stack->push_back(*id);
  }
  return true;
}

// Code objects that may have been freed, and their addresses used again, since they were read.
void FrameTable::forget_the_dead(const RawStack& raw) {
  std::array<std::uint64_t, CodeReader::kMostIdentities> doubtful;
  std::array<CodeIdentity, CodeReader::kMostIdentities> now;
  std::array<bool, CodeReader::kMostIdentities> found;
  std::size_t count = 0;
  const auto settle = [&] {
    reader_.identify(doubtful.data(), count, now.data(), found.data());
    for (std::size_t k = 0; k < count; ++k) {
      const auto entry = codes_.find(doubtful[k]);
      if (entry == codes_.end()) continue;  // asked twice, and forgotten the first time
      if (found[k] && now[k] == entry->second.identity) {
        entry->second.deaths = raw.deaths;
      } else {
        codes_.erase(entry);
      }
    }
    count = 0;
  };
  std::uint64_t last = 0;  // recursion asks for the same again and again
  for (std::size_t i = 0; i < raw.size; ++i) {
    const std::uint64_t code = raw.frames[i].code;
    if (code == last) continue;
    last = code;
    const auto entry = codes_.find(code);
    if (entry == codes_.end()) continue;
    if (counts_deaths_ && entry->second.deaths == raw.deaths) continue;
    doubtful[count++] = code;
    if (count == doubtful.size()) settle();
  }
  if (count != 0) settle();
}

const FrameTable::Id* FrameTable::known(const RawFrame& frame) const noexcept {
  const auto entry = codes_.find(frame.code);
  if (entry == codes_.end()) return nullptr;
  for (const auto& line : entry->second.lines) {
    if (line.first == frame.instruction) return &line.second;
  }
  return nullptr;
}

const FrameTable::Id* FrameTable::learn(const RawFrame& frame, std::uint64_t deaths) {
  FrameName name;
  CodeIdentity identity;
  if (!reader_.name(frame, &name, &identity)) return nullptr;
  Code& code = codes_[frame.code];
  if (!(code.identity == identity)) code = {identity, deaths, {}};
  const Id id = add({std::string(name.function.view()), std::string(name.file.view()), name.line});
  code.lines.emplace_back(frame.instruction, id);
  return &code.lines.back().second;
}

FrameTable::Id FrameTable::add(const Frame& frame) {
  const auto known = ids_.find(frame);
  if (known != ids_.end()) return known->second;
  const auto id = static_cast<Id>(frames_.size());
  frames_.push_back(frame);
  try {
    ids_.emplace(frame, id);
  } catch (...) {
    frames_.pop_back();
    throw;
  }
  return id;
}

void FrameTable::clear() noexcept {
  codes_.clear();
  frames_.clear();
  ids_.clear();
}

}  // namespace gilknocker
