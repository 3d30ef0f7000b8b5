// What is written of a stall, to the letter; and that it has room, whatever is in it.
#include <cstring>
#include <memory>
#include <string>

#include "check.hpp"
#include "gilknocker/known_names.hpp"
#include "gilknocker/stall_text.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

template <std::size_t kRoom>
void set(Text<kRoom>& text, std::string_view words) {
  std::memcpy(text.bytes.data(), words.data(), words.size());
  text.size = words.size();
}

std::unique_ptr<Stall> stall_of(std::size_t frames) {
  auto stall = std::make_unique<Stall>();
  stall->number = 3;
  stall->since = 5;
  stall->since_unix = 1'764'338'585'012'345'678;
  stall->held = 1'204'900'000;
  stall->thread = {1, 77, 4711};
  stall->name = {"worker \"1\""};
  stall->stack_known = true;
  stall->depth = stall->frames = frames;
  for (std::size_t i = 0; i < frames; ++i) {
    set(stall->names[i].function, "f" + std::to_string(i));
    set(stall->names[i].file, "/app/m.py");
    stall->names[i].line = static_cast<std::int32_t>(i) + 10;
  }
  return stall;
}

TEST(a_stall_as_text) {
  StallText text;
  const auto stall = stall_of(2);
  stall->waiters = 0;
  CHECK_EQ(std::string(text.text(*stall, StallEvent::kBegin, 99, 0)),
           "gilknocker: stall 3 of process 99: thread 'worker \"1\"' (native id 4711) has held the "
           "GIL for 1.204 s, since 2025-11-28T14:03:05.012Z\n"
           "  Waiting for it: no thread of the program.\n"
           "  The most recent call last:\n"
           "    File \"/app/m.py\", line 11, in f1\n"
           "    File \"/app/m.py\", line 10, in f0\n");
  CHECK_EQ(std::string(text.text(*stall, StallEvent::kEnd, 99, 0)),
           "gilknocker: stall 3 of process 99 is over: thread 'worker \"1\"' (native id 4711) held "
           "the GIL for 1.204 s, since 2025-11-28T14:03:05.012Z\n");
}

TEST(a_stall_as_json) {
  StallText text;
  const auto stall = stall_of(2);
  stall->waiters = 1;
  stall->waiting[0] = {12, {"a\nb"}, 7};
  stall->collecting = 2;
  CHECK_EQ(std::string(text.json(*stall, StallEvent::kAgain, 99, 4)),
           "{\"gilknocker\":\"stall\",\"event\":\"again\",\"pid\":99,\"number\":3,\"since\":"
           "\"2025-11-28T14:03:05.012Z\",\"since_ns\":5,\"since_unix_ns\":1764338585012345678,"
           "\"held_ns\":1204900000,\"thread\":\"worker \\\"1\\\"\",\"native_id\":4711,\"ident\":77,"
           "\"cpu_ns\":null,\"cpu_over_ns\":0,\"collecting\":2,\"unwritten\":4,\"knock_waited_ns\":"
           "0,\"waiters\":1,"
           "\"waiting\":[{\"native_id\":12,\"name\":\"a\\u000ab\",\"waited_ns\":7}],"
           "\"stack_known\":true,\"depth\":2,\"frames\":[[\"f1\",\"/app/m.py\",11],"
           "[\"f0\",\"/app/m.py\",10]]}\n");
}

TEST(names_move_no_cursor) {
  StallText text;
  const auto stall = stall_of(1);
  stall->name = {"a\033[2J\nb"};
  set(stall->names[0].function, "f\rg");
  const std::string found(text.text(*stall, StallEvent::kBegin, 1, 0));
  CHECK(found.find("'a?[2J?b'") != std::string::npos);
  CHECK(found.find("in f?g\n") != std::string::npos);
}

TEST(whatever_is_in_it_a_stall_has_room_and_keeps_its_newest_frames) {
  for_seeds(500, [](Random& random) {
    StallText text;
    const auto stall = stall_of(static_cast<std::size_t>(integer_in(random, 0, 64)));
    stall->depth += static_cast<std::size_t>(integer_in(random, 0, 2'000));
    stall->waiters = static_cast<std::size_t>(integer_in(random, 0, 100));
    stall->cpu = stall->held = kNever / 100;
    stall->cpu_over = 7;
    for (WaitingThread& one : stall->waiting) {
      one.native_id = kNever;
      one.waited = kNever;
      one.name.fill('"');
    }
    stall->name.fill(static_cast<char>(integer_in(random, 1, 127)));
    for (std::size_t i = 0; i < stall->frames; ++i) {
      FrameName& name = stall->names[i];
      set(name.function, std::string(static_cast<std::size_t>(integer_in(random, 0, 256)),
                                     static_cast<char>(integer_in(random, 1, 127))));
      set(name.file, std::string(static_cast<std::size_t>(integer_in(random, 0, 512)), '\\'));
      name.line = 2'000'000'000;
    }
    const std::string block(text.text(*stall, StallEvent::kAgain, kNever, kNever));
    CHECK(block.size() <= StallText::kRoom);
    CHECK_EQ(block.back(), '\n');
    if (stall->frames != 0) CHECK(block.find("line 2000000000") != std::string::npos);
    const std::string line(text.json(*stall, StallEvent::kAgain, kNever, kNever));
    CHECK(line.size() <= StallText::kRoom);
    CHECK_EQ(line.substr(line.size() - 3), "]}\n");
    CHECK_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  });
}

TEST(the_newest_names_of_threads_are_known_by_native_id_or_ident) {
  const auto names = std::make_unique<KnownNames>();
  CHECK_EQ(names->find(1, 1).front(), 0);
  names->add(7, 70, "seven");
  names->add(8, 0, "eight");
  CHECK_EQ(std::string(names->find(0, 70).data()), "seven");
  CHECK_EQ(std::string(names->find(8, 80).data()), "eight");
  CHECK_EQ(names->find(7, 71).front(), 0);  // another thread, that has its ident now
  names->add(7, 71, "another");
  CHECK_EQ(std::string(names->find(7, 71).data()), "another");
  CHECK_EQ(names->find(0, 70).front(), 0);
  for (std::uint64_t ident = 100; ident < 100 + 2 * KnownNames::kMost; ++ident) {
    names->add(ident, static_cast<std::int64_t>(ident), std::to_string(ident));
  }
  CHECK_EQ(std::string(names->find(0, 100 + 2 * KnownNames::kMost - 1).data()), "2147");
  names->add(9, 9, std::string(62, 'x') + "\xC3\xA9");  // one byte too long
  CHECK_EQ(std::string(names->find(0, 9).data()), std::string(62, 'x'));
}

}  // namespace
}  // namespace gilknocker
