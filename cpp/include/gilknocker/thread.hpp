// A thread of the system's. std::thread would do, but what runs on ours may end by a forced unwind,
// which it does not promise to let through, and the program's signals are not for them.
//
// Thread safety: none; belongs to its owner.
#pragma once

#include <memory>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace gilknocker {

class Thread {
 public:
  using Body = void* (*)(void* argument);

  // Once; throws std::system_error, std::bad_alloc. The thread takes none of the program's signals,
  // and needs this object no more.
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
  // Written before the thread, and by its first act; read by that, and by who has joined it.
  struct Launch {
    Body body;
    void* argument;
    long number = 0;
  };
  static void* enter(void* launch);

  std::shared_ptr<Launch> launch_;
#endif
};

}  // namespace gilknocker
