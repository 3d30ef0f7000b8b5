#include "gilknocker/outside_target.hpp"

#include <algorithm>

namespace gilknocker {
namespace {

struct Field {
  const char* name;
  std::uint32_t StackOffsets::* at;
};
constexpr Field kFields[] = {
    {"thread_frame", &StackOffsets::thread_frame},
    {"cframe_frame", &StackOffsets::cframe_frame},
    {"frame_size", &StackOffsets::frame_size},
    {"frame_previous", &StackOffsets::frame_previous},
    {"frame_code", &StackOffsets::frame_code},
    {"frame_instruction", &StackOffsets::frame_instruction},
    {"frame_owner", &StackOffsets::frame_owner},
    {"artificial_from", &StackOffsets::artificial_from},
    {"frame_state", &StackOffsets::frame_state},
    {"code_size", &StackOffsets::code_size},
    {"code_count", &StackOffsets::code_count},
    {"code_filename", &StackOffsets::code_filename},
    {"code_name", &StackOffsets::code_name},
    {"code_qualname", &StackOffsets::code_qualname},
    {"code_linetable", &StackOffsets::code_linetable},
    {"code_firstlineno", &StackOffsets::code_firstlineno},
    {"code_version", &StackOffsets::code_version},
    {"code_instructions", &StackOffsets::code_instructions},
    {"line_table", &StackOffsets::line_table},
    {"object_type", &StackOffsets::object_type},
    {"string_length", &StackOffsets::string_length},
    {"string_state", &StackOffsets::string_state},
    {"string_ascii_data", &StackOffsets::string_ascii_data},
    {"string_other_data", &StackOffsets::string_other_data},
    {"bytes_length", &StackOffsets::bytes_length},
    {"bytes_data", &StackOffsets::bytes_data},
};

constexpr Nanos kLateAfter = 50'000;  // or a tenth of the interval

}  // namespace

OutsideLayout::OutsideLayout() noexcept {
  state_.state_native_id = GILKNOCKER_NONE;
  stacks_.cframe_frame = stacks_.frame_owner = stacks_.frame_state = GILKNOCKER_NONE;
  stacks_.code_version = GILKNOCKER_NONE;
}

bool OutsideLayout::set(const std::string& name, std::uint64_t value) {
  for (const Field& field : kFields) {
    if (name == field.name) {
      stacks_.*field.at = static_cast<std::uint32_t>(value);
      return true;
    }
  }
  const auto offset = static_cast<std::uint32_t>(value);
  if (name == "gil") {
    gil_ = value;
  } else if (name == "gil_locked") {
    locked_ = value;
  } else if (name == "gil_last_holder") {
    last_holder_ = value;
  } else if (name == "gil_switch_number") {
    switch_number_ = value;
  } else if (name == "code_tag") {
    stacks_.code_tag = value;
  } else if (name == "code_type") {
    stacks_.code_type = value;
  } else if (name == "thread_id") {
    state_.state_id = offset;
  } else if (name == "thread_ident") {
    state_.state_ident = offset;
  } else if (name == "thread_native_id") {
    state_.state_native_id = offset;
  } else {
    return false;
  }
  return true;
}

OutsideAddresses OutsideLayout::addresses() const noexcept {
  OutsideAddresses all = state_;
  all.locked = gil_ + locked_;
  all.last_holder = gil_ + last_holder_;
  all.switch_number = gil_ + switch_number_;
  return all;
}

struct OutsideTarget::Run {
  Run(std::int64_t pid, const OutsideLayout& layout, const Clock& the_clock, Nanos interval,
      std::uint64_t seed)
      : memory(pid), worker(the_clock, make_watch(layout, the_clock, interval, seed)) {}

  std::unique_ptr<OutsideWatch> make_watch(const OutsideLayout& layout, const Clock& the_clock,
                                           Nanos interval, std::uint64_t seed) {
    auto made = std::make_unique<OutsideWatch>(memory, layout.addresses(), layout.stacks(),
                                               the_clock, OutsideSchedule(interval, seed),
                                               std::max(kLateAfter, interval / 10));
    watch = made.get();
    return made;
  }

  const ProcessMemory memory;  // before the worker, which reads it
  OutsideWatch* watch = nullptr;
  Worker worker;
};

OutsideTarget::OutsideTarget(std::int64_t pid, const OutsideLayout& layout, const Clock& clock)
    : layout_(layout),
      clock_(clock),
      pid_(pid),
      memory_(pid),
      reader_(memory_, layout_.stacks()),
      frames_(memory_, layout_.stacks()) {}

bool OutsideTarget::stack(std::uint64_t thread_state, std::vector<Frame>* frames) {
  const auto raw = std::make_unique<RawStack>();
  constexpr int kTries = 4;  // it may run on
  for (int i = 0; i < kTries; ++i) {
    FrameTable::Stack ids;
    if (reader_.read(thread_state, raw.get()) != StackReader::Outcome::kWhole) continue;
    if (!frames_.resolve(*raw, &ids)) continue;
    frames->clear();
    for (const FrameTable::Id id : ids) frames->push_back(frames_[id]);
    return true;
  }
  return false;
}

void OutsideTarget::start(Nanos interval, std::uint64_t seed) {
  run_ = std::make_shared<Run>(pid_, layout_, clock_, interval, seed);
  run_->worker.start("gil-outside", run_);
}

void OutsideTarget::stop() noexcept {
  if (!run_ || joined_) return;
  run_->worker.request_stop();
  run_->worker.join();
  joined_ = true;
}

bool OutsideTarget::gone() const noexcept { return run_ && run_->watch->gone(); }

OutsideReading OutsideTarget::read() const { return run_ ? run_->watch->read() : OutsideReading{}; }

}  // namespace gilknocker
