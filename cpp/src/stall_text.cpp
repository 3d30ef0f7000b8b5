#include "gilknocker/stall_text.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace gilknocker {
namespace {

constexpr std::size_t kMostShown = 4;  // of the threads that wait: what else would have no room

constexpr std::string_view name_of(StallEvent event) noexcept {
  if (event == StallEvent::kBegin) return "begin";
  return event == StallEvent::kAgain ? "again" : "end";
}

std::string_view view_of(const ThreadName& name) noexcept {
  return {name.data(), strnlen(name.data(), name.size())};
}

}  // namespace

void StallText::put(std::string_view words) noexcept {
  if (full_ || words.size() > kRoom - size_) {
    full_ = true;
    return;
  }
  std::memcpy(bytes_.data() + size_, words.data(), words.size());
  size_ += words.size();
}

void StallText::put_two(unsigned number) noexcept {
  if (number < 10) put("0");
  put(number);
}

void StallText::put_seconds(Nanos duration) noexcept {
  const Nanos millis = duration / 1'000'000;
  put(millis / 1'000);
  put(".");
  if (millis % 1'000 < 100) put("0");
  put_two(static_cast<unsigned>(millis % 1'000));
  put(" s");
}

// In UTC: the time zone would take a lock.
void StallText::put_instant(Nanos unix_time) noexcept {
  constexpr Nanos kDay = 86'400'000'000'000;
  const Nanos in_day = (unix_time % kDay + kDay) % kDay;
  const std::chrono::year_month_day date{
      std::chrono::sys_days(std::chrono::days((unix_time - in_day) / kDay))};
  put(static_cast<int>(date.year()));
  put("-");
  put_two(static_cast<unsigned>(date.month()));
  put("-");
  put_two(static_cast<unsigned>(date.day()));
  const Nanos millis = in_day / 1'000'000;
  put("T");
  put_two(static_cast<unsigned>(millis / 3'600'000));
  put(":");
  put_two(static_cast<unsigned>(millis / 60'000 % 60));
  put(":");
  put_two(static_cast<unsigned>(millis / 1'000 % 60));
  put(".");
  if (millis % 1'000 < 100) put("0");
  put_two(static_cast<unsigned>(millis % 1'000));
  put("Z");
}

// On one line, whatever is in a name: what could move a terminal's cursor is a "?".
void StallText::put_plain(std::string_view words) noexcept {
  for (const char letter : words) {
    const bool control = (static_cast<unsigned char>(letter) < 0x20) || letter == 0x7F;
    put(control ? std::string_view("?") : std::string_view(&letter, 1));
  }
}

void StallText::put_quoted(std::string_view words) noexcept {
  constexpr std::string_view kDigits = "0123456789abcdef";
  put("\"");
  for (const char& letter : words) {
    const auto byte = static_cast<unsigned char>(letter);
    if (letter == '"' || letter == '\\') put("\\");
    if (byte < 0x20) {
      put("\\u00");
      put(kDigits.substr(byte >> 4, 1));
      put(kDigits.substr(byte & 15, 1));
    } else {
      put(std::string_view(&letter, 1));
    }
  }
  put("\"");
}

void StallText::put_thread(const Stall& stall) noexcept {
  put("thread ");
  if (stall.name.front() != 0) {
    put("'");
    put_plain(view_of(stall.name));
    put("' ");
  }
  if (stall.thread.native_id != 0) {
    put("(native id ");
    put(stall.thread.native_id);
  } else {
    put("(ident ");
    put(stall.thread.ident);
  }
  put(")");
}

void StallText::put_waiting(const Stall& stall) noexcept {
  put("  Waiting for it: ");
  if (!stall.waiters) {
    put("who cannot be told");
  } else if (*stall.waiters == 0) {
    put("no thread of the program");
  } else {
    const std::size_t shown = std::min(*stall.waiters, kMostShown);
    for (std::size_t i = 0; i < shown; ++i) {
      const WaitingThread& one = stall.waiting[i];
      if (i != 0) put(", ");
      if (one.name.front() != 0) {
        put("'");
        put_plain(view_of(one.name));
        put("' ");
      }
      put("(");
      put(one.native_id);
      put(") for ");
      put_seconds(one.waited);
      put(" or longer");
    }
    if (*stall.waiters > shown) {
      put(", and ");
      put(*stall.waiters - shown);
      put(" more");
    }
  }
  put(".\n");
}

void StallText::put_frame(const FrameName& frame) noexcept {
  put("    File \"");
  put_plain(frame.file.view());
  put("\", line ");
  put(frame.line);
  put(", in ");
  put_plain(frame.function.view());
  put("\n");
}

void StallText::put_json_frame(const FrameName& frame) noexcept {
  put("[");
  put_quoted(frame.function.view());
  put(",");
  put_quoted(frame.file.view());
  put(",");
  put(frame.line);
  put("],");
}

// How many of the newest frames have room, beside `reserve` bytes.
template <typename Put>
std::size_t StallText::fitting(const Stall& stall, std::size_t reserve, Put put_one) noexcept {
  const std::size_t begun = size_;
  std::size_t count = 0;
  while (count < stall.frames) {
    put_one(stall.names[count]);
    if (full_ || size_ + reserve > kRoom) break;
    ++count;
  }
  size_ = begun;
  full_ = false;
  return count;
}

std::string_view StallText::text(const Stall& stall, StallEvent event, std::int64_t pid,
                                 std::int64_t unwritten) noexcept {
  size_ = 0;
  full_ = false;
  put("gilknocker: stall ");
  put(stall.number);
  put(" of process ");
  put(pid);
  put(event == StallEvent::kEnd ? " is over: " : event == StallEvent::kAgain ? " goes on: " : ": ");
  put_thread(stall);
  put(event == StallEvent::kEnd ? " held the GIL for " : " has held the GIL for ");
  put_seconds(stall.held);
  put(", since ");
  put_instant(stall.since_unix);
  put("\n");
  if (event == StallEvent::kEnd) return {bytes_.data(), size_};
  if (unwritten != 0) {
    put("  Not told of before this: ");
    put(unwritten);
    put(unwritten == 1 ? " stall.\n" : " stalls.\n");
  }
  if (stall.collecting) {
    put("  The garbage collector is at work, generation ");
    put(*stall.collecting);
    put(".\n");
  }
  if (stall.cpu && stall.cpu_over > 0) {
    put("  It was on a CPU ");
    put(std::min<Nanos>(*stall.cpu * 100 / stall.cpu_over, 100));
    put(" % of the time.\n");
  }
  put_waiting(stall);
  if (!stall.stack_known) {
    put("  Its stack could not be read.\n");
    return {bytes_.data(), size_};
  }
  if (stall.depth == 0) {
    put("  It is in no Python code.\n");
    return {bytes_.data(), size_};
  }
  put("  The most recent call last:\n");
  constexpr std::size_t kForTheCount = 64;
  const std::size_t shown =
      fitting(stall, kForTheCount, [this](const FrameName& frame) { put_frame(frame); });
  if (shown < stall.depth) {
    put("    ... ");
    put(stall.depth - shown);
    put(stall.cut ? " or more older frames\n" : " older frames\n");
  }
  for (std::size_t i = shown; i-- > 0;) put_frame(stall.names[i]);
  return {bytes_.data(), size_};
}

void StallText::put_json_waiting(const Stall& stall) noexcept {
  put(",\"waiters\":");
  if (stall.waiters) {
    put(*stall.waiters);
  } else {
    put("null");
  }
  put(",\"waiting\":[");
  const std::size_t shown = std::min(stall.waiters.value_or(0), kMostShown);
  for (std::size_t i = 0; i < shown; ++i) {
    const WaitingThread& one = stall.waiting[i];
    if (i != 0) put(",");
    put("{\"native_id\":");
    put(one.native_id);
    put(",\"name\":");
    put_quoted(view_of(one.name));
    put(",\"waited_ns\":");
    put(one.waited);
    put("}");
  }
  put("]");
}

std::string_view StallText::json(const Stall& stall, StallEvent event, std::int64_t pid,
                                 std::int64_t unwritten) noexcept {
  size_ = 0;
  full_ = false;
  const auto number = [this](std::string_view key, auto value) {
    put(",\"");
    put(key);
    put("\":");
    put(value);
  };
  const auto optional = [&number](std::string_view key, auto value) {
    if (value) {
      number(key, *value);
    } else {
      number(key, std::string_view("null"));
    }
  };
  put("{\"gilknocker\":\"stall\",\"event\":\"");
  put(name_of(event));
  put("\"");
  number("pid", pid);
  number("number", stall.number);
  put(",\"since\":\"");
  put_instant(stall.since_unix);
  put("\"");
  number("since_ns", stall.since);
  number("since_unix_ns", stall.since_unix);
  number("held_ns", stall.held);
  put(",\"thread\":");
  put_quoted(view_of(stall.name));
  number("native_id", stall.thread.native_id);
  number("ident", stall.thread.ident);
  optional("cpu_ns", stall.cpu);
  number("cpu_over_ns", stall.cpu_over);
  optional("collecting", stall.collecting);
  number("unwritten", unwritten);
  number("knock_waited_ns", stall.knock_waited);
  put_json_waiting(stall);
  put(",\"stack_known\":");
  put(stall.stack_known ? "true" : "false");
  put(",\"depth\":");
  put(stall.depth);
  put(",\"frames\":[");
  constexpr std::size_t kForTheEnd = 4;
  const std::size_t shown =
      fitting(stall, kForTheEnd, [this](const FrameName& frame) { put_json_frame(frame); });
  for (std::size_t i = shown; i-- > 0;) put_json_frame(stall.names[i]);
  if (shown != 0) --size_;  // the last comma
  put("]}\n");
  return {bytes_.data(), size_};
}

}  // namespace gilknocker
