// Looks at the GIL at each tick, and never touches it. Does not wake up while holds are counted.
// A schedule with a dense start begins again whenever the ledger has begun anew.
//
// Thread safety: belongs to its worker's thread; all that it finds goes to the ledger.
#pragma once

#include <cstdint>

#include "gilknocker/cpu_meter.hpp"
#include "gilknocker/gil.hpp"
#include "gilknocker/ledger.hpp"
#include "gilknocker/look_sink.hpp"
#include "gilknocker/nanos.hpp"
#include "gilknocker/stack_sink.hpp"
#include "gilknocker/task.hpp"
#include "gilknocker/tick_schedule.hpp"

namespace gilknocker {

class Watcher final : public Task {
 public:
  // REQUIRES: gil.can_look()
  Watcher(const Gil& gil, const Clock& clock, Ledger& ledger, TickSchedule schedule,
          Nanos late_after, StackSink* stacks = nullptr, LookSink* looks = nullptr);

  void begin() override;
  Nanos due() const noexcept override;
  void wake(Nanos now) override;
  void end() override;

 private:
  void follow_resets() const noexcept;

  const Gil& gil_;
  Ledger& ledger_;
  mutable TickSchedule schedule_;
  mutable Nanos began_;          // what the schedule has begun with
  mutable bool rested_ = false;  // holds were counted: the instants that passed were not missed
  const Nanos late_after_;
  StackSink* const stacks_;  // null: nobody asks by which stack the GIL is held
  LookSink* const looks_;    // null: nobody asks for each of them
  CpuMeter cpu_;
};

}  // namespace gilknocker
