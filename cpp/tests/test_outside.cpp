#include <array>
#include <atomic>
#include <cstdint>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/outside_gil.hpp"
#include "gilknocker/outside_pause.hpp"
#include "gilknocker/outside_target.hpp"
#include "gilknocker/outside_watch.hpp"
#include "gilknocker/process.hpp"
#include "gilknocker/this_thread.hpp"
#include "random_cases.hpp"
#include "simulation.hpp"

namespace gilknocker {
namespace {

std::uint64_t address_of(const void* object) { return reinterpret_cast<std::uintptr_t>(object); }

// What a thread state and the GIL's state look like to a reader of memory.
struct Thread {
  std::uint64_t id = 7;
  std::uint64_t ident = 70;
  std::int64_t native_id = 700;
};
struct State {
  std::int32_t locked = 0;
  std::uint64_t holder = 0;
  std::uint64_t turn = 0;
};

OutsideAddresses addresses_of(const State& state) {
  return {address_of(&state.locked), address_of(&state.holder), address_of(&state.turn), 0, 8, 16};
}

TEST(outside_gil_says_what_is_in_memory) {
  const Thread thread;
  State state;
  const ProcessMemory memory(process::id());
  if (std::uint64_t word = 0; !memory.read(address_of(&thread), &word)) return;  // not here
  const OutsideGil gil(memory, addresses_of(state));
  CHECK(gil.look() == Look::kFree);
  CHECK(!gil.mark() && !gil.holder());
  state = {1, address_of(&thread), 3};
  CHECK(gil.look() == Look::kHeld);
  CHECK((gil.mark() == HolderMark{address_of(&thread), 3}));
  CHECK((gil.holder() == HolderId{8, 70, 700}));
  state.locked = -1;  // before the first take
  CHECK(gil.look() == Look::kFree);
  CHECK(!gil.gone());
}

TEST(memory_of_a_process_is_written) {
  const ProcessMemory memory(process::id());
  std::uint64_t word = 1;
  if (std::uint64_t same = 0; !memory.read(address_of(&word), &same)) return;  // not here
  const std::uint64_t other = 0x0102030405060708;
  CHECK(memory.write(address_of(&word), &other, sizeof other));
  CHECK_EQ(word, other);
  CHECK_EQ(ProcessMemory::last_error(), 0);
  CHECK(!memory.write(4096, &other, sizeof other));
  CHECK(ProcessMemory::last_error() != 0);
}

TEST(a_thread_of_our_own_cannot_be_paused) {
  PausedThread thread(process::id(), 1'000'000);
  CHECK(thread.error() != 0);
  thread.let_go();
}

TEST(outside_gil_of_memory_that_is_not_there) {
  const ProcessMemory memory(process::id());
  OutsideAddresses nowhere;
  nowhere.locked = nowhere.last_holder = nowhere.switch_number = 4096;
  const OutsideGil gil(memory, nowhere);
  CHECK(gil.look() == Look::kFree);
  CHECK(gil.gone());
  CHECK(!gil.identify(gil.copy_state({4096, 1})));
}

TEST(outside_layout_knows_its_names) {
  OutsideLayout layout;
  CHECK(layout.set("gil", 1'000));
  CHECK(layout.set("gil_locked", 16));
  CHECK(layout.set("gil_last_holder", 8));
  CHECK(layout.set("frame_previous", 5));
  CHECK(!layout.set("no_such_name", 1));
  CHECK_EQ(layout.addresses().locked, 1'016u);
  CHECK_EQ(layout.addresses().last_holder, 1'008u);
  CHECK_EQ(layout.addresses().state_native_id, GILKNOCKER_NONE);
  CHECK_EQ(layout.stacks().frame_previous, 5u);
}

// A busy machine may not let a new thread run for long: that time is not observed, nor is a look
// missed in it, and the CPU time that the start took is none of the looks'.
TEST(outside_watch_begins_when_its_thread_does) {
  constexpr Nanos kMillisecond = 1'000'000;
  constexpr Nanos kDelay = 800 * kMillisecond;
  FakeMemory memory;
  const OutsideAddresses addresses{16, 24, 32, 0, 8, 16};
  memory.map(16, 24);  // zeros: the GIL is free
  for_seeds(100, [&](Random& random) {
    FakeClock clock(0);
    OutsideWatch watch(memory, addresses, {}, clock, OutsideSchedule(kMillisecond, random()),
                       kMillisecond / 10);
    clock.set(kDelay);
    watch.begin();
    const Nanos due = watch.due();
    CHECK(due > kDelay);
    clock.set(due);
    watch.wake(due);
    const OutsideReading reading = watch.read();
    CHECK_EQ(reading.began, kDelay);
    CHECK_EQ(reading.ended, due);
    CHECK_EQ(reading.ticks, 1);
    CHECK_EQ(reading.late, 0);
    CHECK_EQ(reading.missed, 0);
    CHECK_EQ(reading.cpu, due / FakeClock::kNanosPerCpu - kDelay / FakeClock::kNanosPerCpu);
  });
}

TEST(outside_target_stops_when_its_process_is_not_there) {
  const SystemClock clock;
  OutsideLayout layout;
  layout.set("gil", 4096);
  OutsideTarget target(process::id(), layout, clock);
  target.start(100'000, 1);
  for (int i = 0; i < 10'000 && !target.gone(); ++i) this_thread::sleep_for(1'000'000);
  CHECK(target.gone());
  target.stop();
  CHECK_EQ(target.read().ticks, 0);
}

}  // namespace
}  // namespace gilknocker
