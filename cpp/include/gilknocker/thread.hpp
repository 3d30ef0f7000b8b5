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

  // Once; throws std::system_error. The thread takes none of the program's signals.
  void start(Body body, void* argument);
  // One of them, once, after the start.
  void join() noexcept;
  void detach() noexcept;

 private:
#if defined(_WIN32)
  void* handle_ = nullptr;
#else
  pthread_t handle_{};
#endif
};

}  // namespace gilknocker
