#include "gilknocker/waiting_threads.hpp"

#if defined(__linux__)

#include <dirent.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

namespace gilknocker::process {
namespace {

constexpr std::size_t kMostThreads = 4096;  // to be looked at

class File {
 public:
  File(const char* path, int flags) noexcept : number_(open(path, flags | O_CLOEXEC)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (number_ >= 0) close(number_);
  }
  int number() const noexcept { return number_; }

 private:
  const int number_;
};

class ErrnoKept {
 public:
  ErrnoKept() = default;
  ErrnoKept(const ErrnoKept&) = delete;
  ErrnoKept& operator=(const ErrnoKept&) = delete;
  ~ErrnoKept() { errno = before_; }

 private:
  const int before_ = errno;
};

// What /proc says of a thread: its beginning, in `room`.
std::string_view read_of(std::string_view thread, std::string_view file,
                         std::array<char, 256>* room) noexcept {
  constexpr std::string_view kFolder = "/proc/self/task/";
  std::array<char, 64> path{};
  if (kFolder.size() + thread.size() + file.size() >= path.size()) return {};
  std::memcpy(path.data(), kFolder.data(), kFolder.size());
  std::memcpy(path.data() + kFolder.size(), thread.data(), thread.size());
  std::memcpy(path.data() + kFolder.size() + thread.size(), file.data(), file.size());
  const File opened(path.data(), O_RDONLY);
  if (opened.number() < 0) return {};
  const ssize_t size = read(opened.number(), room->data(), room->size());
  return size <= 0 ? std::string_view{} : std::string_view(room->data(), static_cast<size_t>(size));
}

// Of "202 0x7f0adf74e6f4 ...", in a futex, the address; 0 of anything else.
std::uint64_t futex_of(std::string_view line) noexcept {
  long number = -1;
  const char* const end = line.data() + line.size();
  const auto [after, error] = std::from_chars(line.data(), end, number);
  if (error != std::errc{} || number != SYS_futex || end - after < 4) return 0;
  std::uint64_t address = 0;
  std::from_chars(after + 3, end, address, 16);
  return address;
}

// The kernel's struct linux_dirent64, of which glibc has no name.
constexpr std::size_t kLength = 16;
constexpr std::size_t kName = 19;

}  // namespace

ThreadName name_of(std::int64_t thread) noexcept {
  const ErrnoKept kept;
  ThreadName name{};
  std::array<char, 24> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), thread);
  (void)error;
  std::array<char, 256> room;
  const std::string_view number(digits.data(), static_cast<std::size_t>(end - digits.data()));
  std::string_view found = read_of(number, "/comm", &room);
  if (!found.empty() && found.back() == '\n') found.remove_suffix(1);
  std::memcpy(name.data(), found.data(), std::min(found.size(), name.size() - 1));
  return name;
}

std::optional<std::size_t> threads_waiting_at(std::uint64_t low, std::uint64_t high,
                                              std::span<std::int64_t> found) noexcept {
  const ErrnoKept kept;
  const File folder("/proc/self/task", O_RDONLY | O_DIRECTORY);
  if (folder.number() < 0) return std::nullopt;
  alignas(8) std::array<char, 4096> entries;
  std::array<char, 256> room;
  std::size_t looked_at = 0;
  std::size_t readable = 0;
  std::size_t count = 0;
  while (looked_at < kMostThreads) {
    const long size = syscall(SYS_getdents64, folder.number(), entries.data(), entries.size());
    if (size <= 0) break;
    for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
      std::uint16_t length = 0;
      std::memcpy(&length, entries.data() + at + kLength, sizeof length);
      const std::string_view thread(entries.data() + at + kName);
      at += length;
      std::int64_t number = 0;
      if (std::from_chars(thread.data(), thread.data() + thread.size(), number).ec != std::errc{}) {
        continue;  // "." and ".."
      }
      ++looked_at;
      const std::string_view line = read_of(thread, "/syscall", &room);
      if (!line.empty()) ++readable;
      const std::uint64_t address = futex_of(line);
      if (address < low || address >= high) continue;
      if (count < found.size()) found[count] = number;
      ++count;
    }
  }
  return readable == 0 ? std::nullopt : std::optional(count);
}

}  // namespace gilknocker::process

#else

namespace gilknocker::process {

ThreadName name_of(std::int64_t) noexcept { return {}; }

std::optional<std::size_t> threads_waiting_at(std::uint64_t, std::uint64_t,
                                              std::span<std::int64_t>) noexcept {
  return std::nullopt;
}

}  // namespace gilknocker::process

#endif
