#include "gilknocker/process.hpp"

#include <windows.h>

namespace gilknocker::process {

std::int64_t id() noexcept { return GetCurrentProcessId(); }
void at_fork_in_child(void (*)()) noexcept {}  // there is no fork

}  // namespace gilknocker::process
