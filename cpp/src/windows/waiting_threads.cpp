#include "gilknocker/waiting_threads.hpp"

namespace gilknocker::process {

ThreadName name_of(std::int64_t) noexcept { return {}; }

std::optional<std::size_t> threads_waiting_at(std::uint64_t, std::uint64_t,
                                              std::span<std::int64_t>) noexcept {
  return std::nullopt;
}

}  // namespace gilknocker::process
