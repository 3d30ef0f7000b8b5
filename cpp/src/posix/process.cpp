#include "gilknocker/process.hpp"

#include <pthread.h>
#include <unistd.h>

namespace gilknocker::process {

std::int64_t id() noexcept { return getpid(); }
void at_fork_in_child(void (*act)()) noexcept { pthread_atfork(nullptr, nullptr, act); }

}  // namespace gilknocker::process
