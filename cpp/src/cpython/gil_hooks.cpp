#include "cpython/gil_hooks.hpp"

#include "gilknocker/relocation_patch.hpp"

#if GILKNOCKER_HAS_RELOCATION_PATCH

#include <Python.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <stdexcept>

#include "cpython/cpython_gil.hpp"
#include "gilknocker/hook_local.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker::gil_hooks {
namespace {

// ---- shared by the hooks, see the header -------------------------------------------------------

constinit std::array<std::atomic<TraceBook*>, kMostBooks> books{};
constinit std::atomic<pthread_cond_t*> taken{nullptr};
constinit std::atomic<pthread_cond_t*> dropped{nullptr};
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
// Told when this thread asks for the GIL: of the self-test's own.
GILKNOCKER_HOOK_LOCAL sem_t* tell_asked = nullptr;
// What the calibrating thread itself signals, by call.
GILKNOCKER_HOOK_LOCAL bool calibrating = false;
GILKNOCKER_HOOK_LOCAL int signalled = 0;
GILKNOCKER_HOOK_LOCAL pthread_cond_t* last_signalled = nullptr;

// ---- guarded by the GIL ------------------------------------------------------------------------

RelocationPatch patch;
int attached = 0;

Nanos now_nanos() noexcept { return SystemClock().now(); }

TracedThread& thread_in(TraceBook& book, std::size_t index, Nanos now) noexcept {
  Seat& seat = seats[index];
  if (seat.book != book.id()) {
    seat = {book.id(), &book.enter(syscall(SYS_gettid), this_thread::is_ours(), now)};
  }
  return *seat.thread;
}

// ---- the hooks ---------------------------------------------------------------------------------

// Errors of pthread_cond_* are returned, and the clock comes from the vDSO: only gettid() and the
// program's own code could touch errno, and gettid() never fails.

template <typename Event>
void tell_books(Event event) noexcept {
  for (std::size_t i = 0; i < books.size(); ++i) {
    TraceBook* const book = books[i].load(std::memory_order_acquire);
    if (book != nullptr) event(*book, i);
  }
}

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

// The two waits are not noexcept, for they may be cancelled: a forced unwind goes through them.

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

const std::vector<RelocationPatch::Redirection>& redirections() {
  static const std::vector<RelocationPatch::Redirection> all = {
      {"pthread_cond_signal", reinterpret_cast<void*>(&pthread_cond_signal),
       reinterpret_cast<void*>(&signal_hook)},
      {"pthread_cond_timedwait", reinterpret_cast<void*>(&pthread_cond_timedwait),
       reinterpret_cast<void*>(&timedwait_hook)},
      {"pthread_cond_wait", reinterpret_cast<void*>(&pthread_cond_wait),
       reinterpret_cast<void*>(&wait_hook)},
  };
  return all;
}

// ---- putting them in ---------------------------------------------------------------------------

const char* install() {
  return patch.install(reinterpret_cast<const void*>(&PyEval_RestoreThread), redirections());
}

// Which condition variable is which shows when this thread drops and takes the GIL once. Others who
// do so meanwhile do not disturb: only this thread counts.
const char* calibrate() {
  signalled = 0;
  calibrating = true;
  PyThreadState* const state = PyEval_SaveThread();
  const int of_dropping = signalled;
  pthread_cond_t* const first = last_signalled;
  PyEval_RestoreThread(state);
  calibrating = false;
  if (of_dropping != 1 || signalled != 2 || first == last_signalled) {
    return "dropping and taking the GIL signals in unknown ways";
  }
  dropped.store(first, std::memory_order_relaxed);
  taken.store(last_signalled, std::memory_order_relaxed);
  return nullptr;
}

// A thread of ours that asks for the GIL while the caller has it, and gets it when the caller lets
// go: what the book then says must lie within what both saw on their own clocks.
//
// On the heap, and left there if an interpreter that ends ends the calling thread meanwhile: the
// other thread and the hooks go on with it.
class HandOver {
 public:
  HandOver() : book_(kEvents, now_nanos()) {
    for (sem_t* const step : {&seated_, &go_, &asked_}) sem_init(step, 0, 0);
  }
  HandOver(const HandOver&) = delete;
  HandOver& operator=(const HandOver&) = delete;
  ~HandOver() {
    for (sem_t* const step : {&seated_, &go_, &asked_}) sem_destroy(step);
  }

  const char* try_out() {
    attach(book_, {});
    const char* const problem = hand_over();
    detach(book_);
    settle();
    if (problem != nullptr) return problem;
    return agrees_ ? nullptr : "a traced hand-over of the GIL was not what happened";
  }

 private:
  static constexpr int kMostSeconds = 5;
  static constexpr std::size_t kEvents = 16;  // only the newest is wanted

  const char* hand_over() {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, &HandOver::take, this) != 0) {
      return "no thread could be started to try the tracing out";
    }
    // Without the GIL: on a free-threaded build a new thread state may stop the world.
    PyThreadState* state = PyEval_SaveThread();
    wait_for(seated_);
    PyEval_RestoreThread(state);
    sem_post(&go_);
    // With the GIL in hand, for it is to find it taken.
    const bool seen = has_seat_ && wait_for(asked_);
    told_ = now_nanos();
    state = PyEval_SaveThread();
    pthread_join(thread, nullptr);
    PyEval_RestoreThread(state);
    return seen ? nullptr : "a thread that waits for the GIL was not seen";
  }

  // False if it takes far too long.
  static bool wait_for(sem_t& step) {
    timespec until{};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += kMostSeconds;
    int waited = 0;
    do waited = sem_timedwait(&step, &until);
    while (waited != 0 && errno == EINTR);
    return waited == 0;
  }

  static void* take(void* argument) {
    HandOver& mine = *static_cast<HandOver*>(argument);
    this_thread::mark_ours();
    const std::unique_ptr<GilSeat> seat = CPythonGil::instance().open_seat();
    mine.has_seat_ = seat != nullptr;
    sem_post(&mine.seated_);
    if (!seat) return nullptr;
    wait_for(mine.go_);
    tell_asked = &mine.asked_;
    const Nanos asks = now_nanos();
    seat->acquire();
    const Nanos has = now_nanos();
    mine.agrees_ = mine.agrees(asks, has);
    seat->leave();
    return nullptr;
  }

  // REQUIRES: the thread that waited holds the GIL, so that nothing has ended since its wait.
  bool agrees(Nanos asks, Nanos has) const {
    const std::vector<TraceEvent> events = book_.events();
    if (events.empty()) return false;
    const TraceEvent& last = events.back();
    return last.kind == TraceEvent::kWait && book_.native_id(last.thread) == syscall(SYS_gettid) &&
           asks <= last.start && last.start <= told_ && told_ <= last.end && last.end <= has;
  }

  TraceBook book_;
  sem_t seated_;  // by the thread, with has_seat_
  sem_t go_;      // to the thread
  sem_t asked_;   // by its hook
  bool has_seat_ = false;
  bool agrees_ = false;  // by the thread, joined before this is read
  Nanos told_ = 0;       // by the caller, before it lets go of the GIL
};

const char* try_out() {
  if (const char* const problem = CPythonGil::instance().problem()) return problem;
  if (!CPythonGil::instance().enabled()) return "this Python runs without a GIL";
  if (const char* const problem = install()) return problem;
  const char* problem = calibrate();
  patch.remove();
  if (problem != nullptr) return problem;
  auto* const hand_over = new HandOver;
  problem = hand_over->try_out();
  delete hand_over;
  return problem;
}

bool is_alive(std::int64_t native_id) noexcept {
  return syscall(SYS_tgkill, getpid(), native_id, 0) == 0 || errno != ESRCH;
}

void forget_parent() noexcept {
  for (std::atomic<TraceBook*>& book : books) book.store(nullptr, std::memory_order_relaxed);
  if (attached != 0) patch.remove();
  attached = 0;
}

}  // namespace

const char* prepare() {
  pthread_atfork(nullptr, nullptr, &forget_parent);
  try {
    return try_out();
  } catch (const std::exception&) {  // not a forced unwind, which is none
    return "there was not enough memory to try it out, or other tracers run";
  }
}

void attach(TraceBook& book, const std::vector<std::int64_t>& present) {
  std::size_t index = 0;
  while (index < books.size() && books[index].load(std::memory_order_relaxed) != nullptr) ++index;
  if (index == books.size()) throw std::runtime_error("at most 4 tracers can run at once");
  if (attached == 0) {
    if (const char* const problem = install()) throw std::runtime_error(problem);
  }
  ++attached;
  const Nanos now = now_nanos();
  for (const std::int64_t native_id : present) book.expect(native_id, now);
  book.begin(now);
  thread_in(book, index, now).holds_from(now);  // the caller
  books[index].store(&book, std::memory_order_release);
}

void detach(TraceBook& book) {
  for (std::atomic<TraceBook*>& slot : books) {
    // Relaxed: settle() goes through the GIL's lock, and that orders it.
    if (slot.load(std::memory_order_relaxed) == &book) {
      slot.store(nullptr, std::memory_order_relaxed);
      if (--attached == 0) patch.remove();
    }
  }
  book.end(now_nanos(), &is_alive);
}

void settle() {
  PyThreadState* const state = PyEval_SaveThread();
  PyEval_RestoreThread(state);
}

void mark_ours() noexcept {
  this_thread::mark_ours();
  const Nanos now = now_nanos();
  tell_books([now](TraceBook& book, std::size_t i) { thread_in(book, i, now).become_ours(); });
}

std::vector<const void*> slots() { return patch.slots(); }

TraceReading read_book(TraceBook& book) { return book.read(now_nanos(), &is_alive); }

}  // namespace gilknocker::gil_hooks

#else

#include <stdexcept>

#include "gilknocker/nanos.hpp"
#include "gilknocker/this_thread.hpp"

namespace gilknocker::gil_hooks {

// No book is ever attached, and so none knows of a thread.

const char* prepare() { return RelocationPatch().install(nullptr, {}); }
void attach(TraceBook&, const std::vector<std::int64_t>&) { throw std::runtime_error(prepare()); }
void detach(TraceBook&) {}
void settle() {}
void mark_ours() noexcept { this_thread::mark_ours(); }
std::vector<const void*> slots() { return {}; }

TraceReading read_book(TraceBook& book) {
  return book.read(SystemClock().now(), [](std::int64_t) { return false; });
}

}  // namespace gilknocker::gil_hooks

#endif
