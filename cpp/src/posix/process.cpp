#include "gilknocker/process.hpp"

#include <pthread.h>
#include <unistd.h>

namespace gilknocker::process {

std::int64_t id() noexcept { return getpid(); }
void at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
  pthread_atfork(before, in_parent, in_child);
}

}  // namespace gilknocker::process
