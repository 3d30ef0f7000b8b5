// A thread of the system's. std::thread would do, but what runs on ours may end by a forced unwind,
// which it does not promise to let through, and the program's signals are not for them.
//
// Thread safety: none; belongs to its owner.
#pragma once

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace gilknocker {

class Thread {
 public:
  using Body = void* (*)(void* argument);

  // Once; throws std::system_error. The thread takes none of the program's signals. This object is
  // there until `body` is called.
  void start(Body body, void* argument);
  // One of them, once, after the start. On Linux one that was joined is not counted among the
  // process's threads any more, either: Python warns of a fork where there are others.
  void join() noexcept;
  void detach() noexcept;

 private:
#if defined(_WIN32)
  void* handle_ = nullptr;
#else
  pthread_t handle_{};
#endif
#if defined(__linux__)
  static void* enter(void* thread);

  // Written before the thread, and by its first act; read by that, and by who has joined it.
  Body body_ = nullptr;
  void* argument_ = nullptr;
  long number_ = 0;
#endif
};

}  // namespace gilknocker
