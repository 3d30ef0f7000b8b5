// Threads that cannot be had: from the n-th on, pthread_create() fails for want of address space.
//
// Root may have any number of processes, so RLIMIT_NPROC would not do. New threads get huge stacks,
// and the address space ends above the last of those that may start.
//
// Thread safety: for the whole process; one at a time.
#pragma once

#include "check.hpp"

#if defined(__GLIBC__)

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <fstream>

namespace gilknocker {

class ThreadLimit {
 public:
  explicit ThreadLimit(int threads) {
    pthread_getattr_default_np(&attributes_);
    pthread_attr_t huge;
    pthread_attr_init(&huge);
    pthread_attr_setstacksize(&huge, kStack);
    CHECK_EQ(pthread_setattr_default_np(&huge), 0);
    pthread_attr_destroy(&huge);

    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    CHECK_EQ(getrlimit(RLIMIT_AS, &before_), 0);
    rlimit limit = before_;
    limit.rlim_cur = pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) +
                     static_cast<rlim_t>(threads) * kStack + kStack / 2;
    CHECK_EQ(setrlimit(RLIMIT_AS, &limit), 0);
    rlimit now{};
    getrlimit(RLIMIT_AS, &now);
    holds_ = now.rlim_cur == limit.rlim_cur;
  }
  ThreadLimit(const ThreadLimit&) = delete;
  ThreadLimit& operator=(const ThreadLimit&) = delete;
  ~ThreadLimit() {
    setrlimit(RLIMIT_AS, &before_);
    pthread_setattr_default_np(&attributes_);
    pthread_attr_destroy(&attributes_);
  }

  // False under an emulator that says yes and does nothing, as qemu does.
  bool holds() const { return holds_; }

 private:
  static constexpr std::size_t kStack = std::size_t{1} << 30;

  pthread_attr_t attributes_;
  rlimit before_;
  bool holds_ = false;
};

}  // namespace gilknocker

#endif
