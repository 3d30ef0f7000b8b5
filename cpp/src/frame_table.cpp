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
  const std::size_t known = known_callers(raw);
  last_.resize(known);
  last_.resize(raw.size);
  last_deaths_ = raw.deaths;
  if (!name_newest(raw, raw.size - known)) {
    last_.resize(known);
    return false;
  }
  stack->clear();
  for (const Named& named : last_) {
    // A frame that has called another and belongs to no line is the interpreter's own: what calls
    // __init__ for a class.
    if (named.has_line || &named == &last_.back()) stack->push_back(named.id);
  }
  return true;
}

// How many frames from the oldest on have the names that they had in the last stack.
std::size_t FrameTable::known_callers(const RawStack& raw) const noexcept {
  if (!counts_deaths_ || raw.deaths != last_deaths_) return 0;
  const std::size_t most = std::min(raw.size, last_.size());
  std::size_t known = 0;
  while (known < most && last_[known].frame == raw.frames[raw.size - 1 - known]) ++known;
  return known;
}

// The newest first: they are the first to be freed.
bool FrameTable::name_newest(const RawStack& raw, std::size_t count) {
  identify_newest(raw, count);
  for (std::size_t i = 0; i < count; ++i) {
    const Id* const id = id_of(raw.frames[i]);
    if (id == nullptr) return false;
    last_[raw.size - 1 - i] = {raw.frames[i], *id, frames_[*id].line != kNoLine};
  }
  return true;
}

// Those that are new, and those that may have been freed since they were read, and their addresses
// used again. The names of one that is not proven to be the same are read again.
void FrameTable::identify_newest(const RawStack& raw, std::size_t newest) {
  std::array<std::uint64_t, CodeReader::kMostIdentities> doubtful;
  std::array<CodeIdentity, CodeReader::kMostIdentities> now;
  std::array<bool, CodeReader::kMostIdentities> found;
  std::size_t count = 0;
  const auto settle = [&](std::uint64_t address, bool is_code, const CodeIdentity& identity) {
    if (!is_code) {
      codes_.erase(address);
      return;
    }
    Code& code = codes_[address];
    const bool is_same = identity.version != 0 && code.identity == identity;
    if (!is_same) code = {identity, 0, {}};
    code.deaths = raw.deaths;
  };
  const auto settle_doubtful = [&] {
    reader_.identify(doubtful.data(), count, now.data(), found.data());
    for (std::size_t k = 0; k < count; ++k) settle(doubtful[k], found[k], now[k]);
    count = 0;
  };
  std::uint64_t last = 0;  // recursion asks for the same again and again
  for (std::size_t i = 0; i < newest; ++i) {
    const std::uint64_t code = raw.frames[i].code;
    if (code == last) continue;
    last = code;
    const auto entry = codes_.find(code);
    if (entry != codes_.end() && counts_deaths_ && entry->second.deaths == raw.deaths) continue;
    if (const unsigned char* const bytes = raw.bytes_of(code)) {
      CodeIdentity identity;
      const bool is_code = reader_.identity_of(bytes, &identity);
      settle(code, is_code, identity);
      continue;
    }
    doubtful[count++] = code;
    if (count == doubtful.size()) settle_doubtful();
  }
  if (count != 0) settle_doubtful();
}

// Null if it cannot be told.
const FrameTable::Id* FrameTable::id_of(const RawFrame& frame) {
  const auto entry = codes_.find(frame.code);
  if (entry == codes_.end()) return nullptr;
  Code& code = entry->second;
  for (const auto& line : code.lines) {
    if (line.first == frame.instruction) return &line.second;
  }
  FrameName name;
  if (!reader_.name(frame, code.identity, &name)) return nullptr;
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
  last_.clear();
  codes_.clear();
  frames_.clear();
  ids_.clear();
}

}  // namespace gilknocker
