// Redirecting what this very program calls.
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "check.hpp"
#include "gilknocker/relocation_patch.hpp"

#if defined(__linux__) && defined(__GLIBC__)

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
    {"pthread_cond_signal", reinterpret_cast<void*>(&pthread_cond_signal),
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

// As somebody else would who does not ask; the page may be read-only after loading.
void set_all(const std::vector<const void*>& slots, void* value) {
  const auto size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  for (const void* slot : slots) {
    const auto page = reinterpret_cast<std::uintptr_t>(slot) & ~(size - 1);
    mprotect(reinterpret_cast<void*>(page), size, PROT_READ | PROT_WRITE);
    *static_cast<void**>(const_cast<void*>(slot)) = value;
  }
}

void* const kGenuine = reinterpret_cast<void*>(&pthread_cond_signal);
// Of another object than this one, as a hook of somebody else would be.
void* const kForeign = reinterpret_cast<void*>(&pthread_cond_broadcast);

TEST(relocations_of_others_are_never_overwritten) {
  RelocationPatch patch;
  REQUIRE(patch.install(kHere, kSignal) == nullptr);
  const std::vector<const void*> slots = patch.slots();
  CHECK(patch.remove());
  set_all(slots, kForeign);
  const char* const problem = patch.install(kHere, kSignal);
  CHECK(problem != nullptr && std::string(problem).find("somebody else") != std::string::npos);
  CHECK(patch.slots().empty());
  for (const void* slot : slots) CHECK(*static_cast<void* const*>(slot) == kForeign);
  set_all(slots, kGenuine);
}

TEST(relocations_changed_by_others_meanwhile_are_left_alone) {
  RelocationPatch patch;
  REQUIRE(patch.install(kHere, kSignal) == nullptr);
  const std::vector<const void*> slots = patch.slots();
  set_all(slots, kForeign);
  CHECK(!patch.remove());
  for (const void* slot : slots) CHECK(*static_cast<void* const*>(slot) == kForeign);
  set_all(slots, kGenuine);
}

TEST(relocations_that_are_not_there_are_named_so) {
  RelocationPatch patch;
  const char* const problem =
      patch.install(kHere, {{"no_such_function", nullptr, reinterpret_cast<void*>(&hook)}});
  CHECK(problem != nullptr && std::string(problem).find("static build") != std::string::npos);
  CHECK(patch.slots().empty());
}

}  // namespace
}  // namespace gilknocker

#endif
