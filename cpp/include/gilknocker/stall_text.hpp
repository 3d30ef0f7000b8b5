// What is written of a stall: a block of text, or a line of JSON; at most 4,096 bytes.
//
// So many bytes go into a pipe whole or not at all, and nothing comes between them. Where a stack
// is too deep its oldest frames are left out, and their number is said.
//
// Thread safety: belongs to one thread. Nothing is allocated, no lock is taken: no locale, no time
// zone, no printf.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gilknocker/stall.hpp"

namespace gilknocker {

class StallText {
 public:
  static constexpr std::size_t kRoom = 4096;

  // Of the process `pid`; `unwritten` stalls before this one were not told of. Stands until the
  // next call.
  std::string_view text(const Stall& stall, StallEvent event, std::int64_t pid,
                        std::int64_t unwritten) noexcept;
  std::string_view json(const Stall& stall, StallEvent event, std::int64_t pid,
                        std::int64_t unwritten) noexcept;

 private:
  void put(std::string_view words) noexcept;
  void put(std::integral auto number) noexcept {
    std::array<char, 24> digits;
    const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
    (void)error;  // there is room for any
    put(std::string_view(digits.data(), static_cast<std::size_t>(end - digits.data())));
  }
  void put_two(unsigned number) noexcept;
  void put_seconds(Nanos duration) noexcept;
  void put_instant(Nanos unix_time) noexcept;
  void put_plain(std::string_view words) noexcept;
  void put_quoted(std::string_view words) noexcept;
  void put_thread(const Stall& stall) noexcept;
  void put_waiting(const Stall& stall) noexcept;
  void put_json_waiting(const Stall& stall) noexcept;
  void put_frame(const FrameName& frame) noexcept;
  void put_json_frame(const FrameName& frame) noexcept;
  template <typename Put>
  std::size_t fitting(const Stall& stall, std::size_t reserve, Put put) noexcept;

  std::array<char, kRoom> bytes_;
  std::size_t size_ = 0;
  bool full_ = false;
};

}  // namespace gilknocker
