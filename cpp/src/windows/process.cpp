#include "gilknocker/process.hpp"

#include <windows.h>

namespace gilknocker::process {

std::optional<Nanos> cpu_of(std::int64_t) noexcept { return std::nullopt; }

std::int64_t id() noexcept { return GetCurrentProcessId(); }
void at_fork(void (*)(), void (*)(), void (*)()) noexcept {}  // there is no fork

}  // namespace gilknocker::process
