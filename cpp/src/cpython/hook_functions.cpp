#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <sys/syscall.h>
#include <unistd.h>

#include "cpython/cpython_gil.hpp"
#include "cpython/hook_functions.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker::gil_hooks {

constinit std::array<std::atomic<TraceBook*>, kMostBooks> books{};
constinit std::atomic<pthread_cond_t*> taken{nullptr};
constinit std::atomic<pthread_cond_t*> dropped{nullptr};

GILKNOCKER_HOOK_LOCAL sem_t* tell_asked = nullptr;
GILKNOCKER_HOOK_LOCAL bool calibrating = false;
GILKNOCKER_HOOK_LOCAL int signalled = 0;
GILKNOCKER_HOOK_LOCAL pthread_cond_t* last_signalled = nullptr;

namespace {

// ---- of each thread ----------------------------------------------------------------------------

struct Seat {
  std::uint64_t book = 0;  // its id
  TracedThread* thread = nullptr;
};

// The thread let go of the GIL because another had asked it to: for as long as nothing is known of
// what it wants. If it asks again at once it never stopped wanting it, and has been waiting since
// it let go; else it had let go for a reason of its own, as for input, and does not wait meanwhile.
class LetGo {
 public:
  void begin(Nanos now) noexcept {
    under_way_ = true;
    came_back(now);
  }
  // From waiting until another had taken it.
  void came_back(Nanos now) noexcept {
    if (!under_way_) return;
    since_ = now;
    used_ = this_thread::usage().value_or(this_thread::Usage{});
  }
  // It asks for it, or has it: whether it wanted it all along. A thread that did neither work nor
  // wait for anything meanwhile can only have been without a CPU.
  bool end(Nanos now) noexcept {
    if (!under_way_) return false;
    under_way_ = false;
    if (now - since_ <= kAtOnce) return true;
    const this_thread::Usage used = this_thread::usage().value_or(this_thread::Usage{});
    return used.voluntary_switches == used_.voluntary_switches && used.cpu - used_.cpu <= kLittle;
  }

 private:
  static constexpr Nanos kAtOnce = 20'000;
  static constexpr Nanos kLittle = 100'000;  // to be woken and to come back costs 50 us on some

  bool under_way_ = false;
  Nanos since_ = 0;
  this_thread::Usage used_;
};

GILKNOCKER_HOOK_LOCAL std::array<Seat, kMostBooks> seats{};
GILKNOCKER_HOOK_LOCAL LetGo let_go{};

}  // namespace

TracedThread& thread_in(TraceBook& book, std::size_t index, Nanos now) noexcept {
  Seat& seat = seats[index];
  if (seat.book != book.id()) {
    seat = {book.id(), &book.enter(syscall(SYS_gettid), this_thread::is_ours(), now)};
  }
  return *seat.thread;
}

// ---- the hooks ---------------------------------------------------------------------------------

// Errors of pthread_cond_* are returned, and the clock comes from the vDSO: only gettid() and the
// program's own code could touch errno, and gettid() never fails. They are called by name, and
// their addresses are taken nowhere in this library: see real_function.hpp.
int signal_hook(pthread_cond_t* cond) noexcept {
  if (cond == taken.load(std::memory_order_relaxed)) {
    const Nanos now = now_nanos();
    const bool wanted = let_go.end(now);
    tell_books([now, wanted](TraceBook& book, std::size_t i) {
      book.acquired(thread_in(book, i, now), now, wanted);
    });
  } else if (cond == dropped.load(std::memory_order_relaxed)) {
    const Nanos now = now_nanos();
    const bool forced = CPythonGil::instance().drop_requested();
    tell_books([now, forced](TraceBook& book, std::size_t i) {
      book.released(thread_in(book, i, now), now, forced);
    });
    if (forced) let_go.begin(now);
  } else if (calibrating) {
    ++signalled;
    last_signalled = cond;
  }
  return pthread_cond_signal(cond);
}

int timedwait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex, const timespec* until) {
  if (cond == dropped.load(std::memory_order_relaxed)) {
    const Nanos now = now_nanos();
    const bool wanted = let_go.end(now);
    tell_books([now, wanted](TraceBook& book, std::size_t i) {
      book.asked(thread_in(book, i, now), now, wanted);
    });
    if (tell_asked != nullptr) sem_post(tell_asked);
  }
  return pthread_cond_timedwait(cond, mutex, until);
}

int wait_hook(pthread_cond_t* cond, pthread_mutex_t* mutex) {
  const int result = pthread_cond_wait(cond, mutex);
  if (cond == taken.load(std::memory_order_relaxed)) let_go.came_back(now_nanos());
  return result;
}

}  // namespace gilknocker::gil_hooks

#endif
