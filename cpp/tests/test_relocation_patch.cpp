// Redirecting what this very program calls.
#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "check.hpp"

namespace gilknocker {
namespace {

int calls = 0;

int hook(pthread_cond_t* cond) {
  ++calls;
  static_cast<void>(cond);
  return 0;
}

// Nothing else of the meter signals a condition variable: it broadcasts.
int call() {
  pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  return pthread_cond_signal(&cond);
}

const std::vector<RelocationPatch::Redirection> kSignal = {
    {"pthread_cond_signal",
     {reinterpret_cast<void*>(&pthread_cond_signal), nullptr},
     reinterpret_cast<void*>(&hook)}};
const void* const kHere = reinterpret_cast<const void*>(&call);

TEST(relocations_lead_to_the_hook_and_back) {
  for (int round = 0; round < 3; ++round) {
    calls = 0;
    RelocationPatch patch;
    call();
    CHECK_EQ(calls, 0);
    const char* const problem = patch.install(kHere, kSignal);
    REQUIRE(problem == nullptr);
    CHECK(!patch.slots().empty());
    call();
    CHECK_EQ(calls, 1);
    CHECK(patch.remove());
    CHECK(patch.slots().empty());
    call();
    CHECK_EQ(calls, 1);
  }
}

// What somebody else does who does not ask. The page may be read-only after loading.
class Meddling {
 public:
  // Of another object than this one, as a hook of somebody else would be.
  static void* foreign() { return reinterpret_cast<void*>(&pthread_cond_broadcast); }

  explicit Meddling(const std::vector<const void*>& slots) : slots_(slots) {
    for (const void* slot : slots_) before_.push_back(*static_cast<void* const*>(slot));
  }
  Meddling(const Meddling&) = delete;
  Meddling& operator=(const Meddling&) = delete;
  ~Meddling() { leave(); }

  // Puts back what it found.
  void leave() {
    for (std::size_t i = 0; i < before_.size(); ++i) write(slots_[i], before_[i]);
    before_.clear();
  }

  void meddle() {
    for (const void* slot : slots_) write(slot, foreign());
  }
  bool untouched() const {
    return std::all_of(slots_.begin(), slots_.end(), [](const void* slot) {
      return *static_cast<void* const*>(slot) == foreign();
    });
  }

 private:
  static void write(const void* slot, void* value) {
    const auto size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    const auto page = reinterpret_cast<std::uintptr_t>(slot) & ~(size - 1);
    mprotect(reinterpret_cast<void*>(page), size, PROT_READ | PROT_WRITE);
    *static_cast<void**>(const_cast<void*>(slot)) = value;
  }

  const std::vector<const void*> slots_;
  std::vector<void*> before_;
};

std::vector<const void*> slots_here() {
  RelocationPatch patch;
  CHECK(patch.install(kHere, kSignal) == nullptr);
  std::vector<const void*> slots = patch.slots();
  patch.remove();
  return slots;
}

TEST(relocations_of_others_are_never_overwritten) {
  Meddling somebody(slots_here());
  somebody.meddle();
  RelocationPatch patch;
  const char* const problem = patch.install(kHere, kSignal);
  CHECK(problem != nullptr && std::string(problem).find("somebody else") != std::string::npos);
  CHECK(patch.slots().empty());
  CHECK(somebody.untouched());
}

TEST(relocations_changed_by_others_meanwhile_are_left_alone) {
  Meddling somebody(slots_here());
  RelocationPatch patch;
  REQUIRE(patch.install(kHere, kSignal) == nullptr);
  somebody.meddle();
  CHECK(!patch.remove());
  CHECK(somebody.untouched());
}

TEST(relocations_that_were_left_to_us_are_ours) {
  const std::vector<const void*> slots = slots_here();
  Meddling somebody(slots);  // puts back at the end what there was at first
  const auto values = [&slots] {
    std::vector<void*> found;
    for (const void* slot : slots) found.push_back(*static_cast<void* const*>(slot));
    return found;
  };
  RelocationPatch patch;
  REQUIRE(patch.install(kHere, kSignal) == nullptr);
  Meddling guest(slots);  // saves our hooks
  guest.meddle();
  CHECK(!patch.remove());
  guest.leave();
  REQUIRE(patch.install(kHere, kSignal) == nullptr);
  CHECK(patch.remove());
  for (void* value : values()) CHECK(value != reinterpret_cast<void*>(&hook));
}

TEST(relocations_that_are_not_there_are_named_so) {
  RelocationPatch patch;
  const char* const problem = patch.install(kHere, {{"no_such_function",
                                                     {reinterpret_cast<void*>(&call), nullptr},
                                                     reinterpret_cast<void*>(&hook)}});
  CHECK(problem != nullptr && std::string(problem).find("static build") != std::string::npos);
  CHECK(patch.slots().empty());
}

}  // namespace
}  // namespace gilknocker

#endif
