#include "gilknocker/stall_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace gilknocker {
namespace {

bool whole(ssize_t written, std::string_view words) noexcept {
  return written >= 0 && static_cast<std::size_t>(written) == words.size();
}

// Some systems number them with a sign.
unsigned long long device_of(const struct stat& status) noexcept {
  return static_cast<unsigned long long>(status.st_dev);
}

// O_NONBLOCK belongs to the file description, which the program and other processes share. Opened
// anew by its number it is another description of the same pipe or terminal.
int open_again([[maybe_unused]] int descriptor) noexcept {
#if defined(__linux__)
  constexpr std::string_view kFolder = "/proc/self/fd/";
  std::array<char, 32> path{};
  std::memcpy(path.data(), kFolder.data(), kFolder.size());
  std::to_chars(path.data() + kFolder.size(), path.data() + path.size() - 1, descriptor);
  return open(path.data(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
#else
  return -1;
#endif
}

// Where it cannot be opened again. A pipe that poll() finds writable takes PIPE_BUF bytes, unless
// somebody else fills it between the two calls.
bool write_if_ready(int descriptor, std::string_view words) noexcept {
  pollfd asked{descriptor, POLLOUT, 0};
  if (poll(&asked, 1, 0) != 1 || (asked.revents & POLLOUT) == 0) return false;
  return whole(::write(descriptor, words.data(), words.size()), words);
}

bool write_without_waiting(int descriptor, std::string_view words) noexcept {
  const int again = open_again(descriptor);
  if (again < 0) return errno != ENXIO && write_if_ready(descriptor, words);  // nobody reads it
  const bool written = whole(::write(again, words.data(), words.size()), words);
  close(again);
  return written;
}

}  // namespace

Descriptor Descriptor::of(int number) noexcept {
  struct stat status{};
  if (number < 0 || fstat(number, &status) != 0) return {};
  return {number, device_of(status), status.st_ino};
}

bool DescriptorOutput::write(std::string_view words) noexcept {
  const int before = errno;
  const int number = descriptor_.number;
  bool written = false;
  struct stat status{};
  if (number < 0 || fstat(number, &status) != 0 || device_of(status) != descriptor_.device ||
      status.st_ino != descriptor_.file) {
    errno = before;
    return false;
  }
  if (S_ISSOCK(status.st_mode)) {
    constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
    written = whole(send(number, words.data(), words.size(), kFlags), words);
  } else if (S_ISREG(status.st_mode)) {
    // By the program's own description, for where it writes next is kept there.
    written = whole(::write(number, words.data(), words.size()), words);
  } else {
    written = write_without_waiting(number, words);
  }
  errno = before;
  return written;
}

}  // namespace gilknocker
