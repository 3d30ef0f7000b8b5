#include "gilknocker/outside_pause.hpp"

#include <cerrno>

#if defined(__linux__)
#include <sys/ptrace.h>
#include <sys/wait.h>
#endif

namespace gilknocker {

#if defined(__linux__)

namespace {

// The signal that was on its way when it stopped, to be handed on; 0 for the stop that we asked
// for.
int signal_of(int status) noexcept {
  const bool asked_for = status >> 16 == PTRACE_EVENT_STOP;
  return asked_for ? 0 : WSTOPSIG(status);
}

int ask(long request, pid_t thread, long data) noexcept {
  // glibc's type of requests is an enum, musl's an int.
  const auto typed = static_cast<decltype(PTRACE_SEIZE)>(request);
  return ptrace(typed, thread, nullptr, reinterpret_cast<void*>(data)) < 0 ? errno : 0;
}

// Waits until it has stopped; returns 0, or an errno. Its signal is what it is to have then.
int stop(pid_t thread, int* signal) noexcept {
  if (const int error = ask(PTRACE_SEIZE, thread, 0); error != 0) return error;
  if (const int error = ask(PTRACE_INTERRUPT, thread, 0); error != 0) return error;
  int status = 0;
  pid_t told = 0;
  do told = waitpid(thread, &status, __WALL);
  while (told < 0 && errno == EINTR);
  if (told < 0) return errno;
  if (!WIFSTOPPED(status)) return ESRCH;  // it ended
  *signal = signal_of(status);
  return 0;
}

}  // namespace

void PausedThread::run(Tracing& tracing) noexcept {
  const auto thread = static_cast<pid_t>(tracing.thread_id);
  int signal = 0;
  const int error = stop(thread, &signal);
  MutexLock lock(tracing.mutex);
  tracing.error = error;
  tracing.answered = true;
  tracing.changed.notify_all();
  while (!tracing.release) tracing.changed.wait_until(tracing.mutex, kNever);
  if (error == 0) ask(PTRACE_DETACH, thread, signal);
}

#else

void PausedThread::run(Tracing& tracing) noexcept {
  MutexLock lock(tracing.mutex);
  tracing.error = ENOSYS;
  tracing.answered = true;
  tracing.changed.notify_all();
}

#endif

void* PausedThread::entry(void* tracing) {
  const std::unique_ptr<std::shared_ptr<Tracing>> mine(
      static_cast<std::shared_ptr<Tracing>*>(tracing));
  run(**mine);
  return nullptr;
}

PausedThread::PausedThread(std::int64_t thread_id, Nanos patience)
    : tracing_(std::make_shared<Tracing>()) {
  tracing_->thread_id = thread_id;  // before there is anybody to read it
  auto its_own = std::make_unique<std::shared_ptr<Tracing>>(tracing_);
  thread_.start(&PausedThread::entry, its_own.get());
  static_cast<void>(its_own.release());  // the thread owns it now
  const SystemClock clock;
  const Nanos until = clock.now() + patience;
  Tracing& tracing = *tracing_;
  MutexLock lock(tracing.mutex);
  while (!tracing.answered && clock.now() < until) {
    tracing.changed.wait_until(tracing.mutex, until);
  }
  outcome_ = tracing.error;
  if (tracing.answered) return;
  outcome_ = ETIMEDOUT;
  tracing.release = true;
  thread_.detach();
  left_ = true;
}

void PausedThread::let_go() noexcept {
  if (left_) return;
  {
    Tracing& tracing = *tracing_;
    MutexLock lock(tracing.mutex);
    tracing.release = true;
    tracing.changed.notify_all();
  }
  thread_.join();
  left_ = true;
}

}  // namespace gilknocker
