// What frames are called: strings of every kind, line tables, and code objects that change.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "check.hpp"
#include "fake_python.hpp"
#include "gilknocker/code_reader.hpp"
#include "gilknocker/frame_table.hpp"
#include "gilknocker/line_table.hpp"
#include "random_cases.hpp"

namespace gilknocker {
namespace {

constexpr std::uint64_t kCode = FakePython::kCode;
// Four instructions of the first line, two of the third, one of none.
const std::vector<unsigned char> kLocations = {0x83, 0, 0xE1, 0, 0, 0xF8};
const std::vector<unsigned char> kPairs = {8, 0, 4, 2, 2, 0x80};

std::vector<unsigned char> table_of(const FakePython& python) {
  return python.offsets.line_table == GILKNOCKER_LINES_BY_PAIRS ? kPairs : kLocations;
}

std::optional<Frame> name_of(const FakePython& python, std::int32_t instruction) {
  const auto reader = std::make_unique<CodeReader>(python.memory, python.offsets);
  FrameName name;
  CodeIdentity identity;
  if (!reader->name({kCode, instruction}, &name, &identity)) return std::nullopt;
  return Frame{std::string(name.function.view()), std::string(name.file.view()), name.line};
}

TEST(a_frame_is_named_by_its_code_object) {
  for (const Layout layout : {Layout::kFrameObjects, Layout::kCurrentFrame}) {
    FakePython python(layout);
    python.code(kCode, "Class.method", "/somewhere/file.py", 40, table_of(python));
    const auto line_at = [&](std::int32_t instruction) {
      const std::optional<Frame> frame = name_of(python, instruction);
      REQUIRE(frame);
      CHECK_EQ(frame->function, "Class.method");
      CHECK_EQ(frame->file, "/somewhere/file.py");
      return frame->line;
    };
    CHECK_EQ(line_at(-2), 40);
    CHECK_EQ(line_at(0), 40);
    CHECK_EQ(line_at(6), 40);
    CHECK_EQ(line_at(8), 42);
    CHECK_EQ(line_at(10), 42);
    CHECK_EQ(line_at(12), kNoLine);
    CHECK_EQ(line_at(14), kNoLine);  // the table ends before
  }
}

TEST(names_of_every_kind_of_string) {
  FakePython python(Layout::kCurrentFrame);
  python.code(kCode, "f", "file", 1, kLocations);
  const std::uint64_t at = kCode + 0x200;
  const auto function = [&] {
    const std::optional<Frame> frame = name_of(python, 0);
    return frame ? frame->function : "(none)";
  };
  python.string(at, "caf\xE9", 4, 1, false);
  CHECK_EQ(function(), "caf\u00e9");
  const std::uint16_t two[] = {'a', 0x20AC, 0xD800};  // half a pair
  python.string(at, two, 3, 2, false);
  CHECK_EQ(function(), "a\u20ac\ufffd");
  const std::uint32_t four[] = {'a', 0x1F40D};
  python.string(at, four, 2, 4, false);
  CHECK_EQ(function(), "a\U0001F40D");
  python.string(at, "", 0, 1, true);
  CHECK_EQ(function(), "");
  python.string(at, "xyz", 1, 3, true);  // of no kind
  CHECK_EQ(function(), "(none)");
  const std::uint32_t not_compact = 1 << 2;
  python.memory.put(at + python.offsets.string_state, not_compact);
  CHECK_EQ(function(), "(none)");
}

TEST(of_a_long_name_the_end_is_kept) {
  FakePython python(Layout::kCurrentFrame);
  python.code(kCode, "f", "file", 1, kLocations);
  const std::string path = std::string(700, 'd') + "/file.py";
  python.string(kCode + 0x400, path.data(), path.size(), 1, true);
  CHECK_EQ(name_of(python, 0)->file, path.substr(path.size() - 512));
  const std::vector<std::uint16_t> wide(300, 0x20AC);  // three bytes each: 170 of them fit
  python.string(kCode + 0x400, wide.data(), wide.size(), 2, false);
  CHECK_EQ(name_of(python, 0)->file.size(), 510);
}

TEST(what_is_no_code_object_has_no_name) {
  FakePython python(Layout::kCurrentFrame);
  CHECK(!name_of(python, 0));
  python.code(kCode, "f", "file", 1, kLocations);
  CHECK(name_of(python, 0).has_value());
  CHECK(!name_of(python, 2'000));  // beyond its instructions
  python.memory.put(kCode + python.offsets.object_type, std::uint64_t{0x7008});
  CHECK(!name_of(python, 0));
}

TEST(a_code_object_that_is_freed_has_no_name_though_its_memory_still_tells_one) {
  FakePython python(Layout::kCurrentFrame);
  python.code(kCode, "f", "file", 1, kLocations);
  const auto named_with = [&](std::uint64_t references) {
    python.memory.put(kCode + python.offsets.object_type - 8, references);
    return name_of(python, 0).has_value();
  };
  CHECK(named_with(1));
  CHECK(named_with(0xFFFF'FFFF));            // immortal
  CHECK(named_with(0x0040'0000'C000'0000));  // and with flags, since 3.14
  CHECK(!named_with(0));                     // being taken down, or the last of its free list
  CHECK(!named_with(0x7F12'3456'7890));      // the next of its free list
}

TEST(a_long_line_table_is_read_to_its_end) {
  FakePython python(Layout::kCurrentFrame);
  std::vector<unsigned char> table;
  for (int i = 0; i < 600; ++i) table.insert(table.end(), {0x83, 0});  // four instructions each
  table.insert(table.end(), {0xE1, 0, 0});                             // two lines further
  python.code(kCode, "f", "file", 40, table);
  python.memory.put(kCode + python.offsets.code_count, std::uint64_t{2'402});
  CHECK_EQ(name_of(python, 4'792)->line, 40);
  CHECK_EQ(name_of(python, 4'800)->line, 42);
}

TEST(line_tables_of_garbage_are_survived) {
  for_seeds(2'000, [](Random& random) {
    std::vector<unsigned char> table(static_cast<std::size_t>(integer_in(random, 0, 40)));
    for (auto& byte : table) byte = static_cast<unsigned char>(integer_in(random, 0, 255));
    for (const auto format : {GILKNOCKER_LINES_BY_PAIRS, GILKNOCKER_LINES_BY_LOCATIONS}) {
      for (std::int32_t at = -2; at < 200; at += 2) {
        CHECK(line_of(format, table, 1, at) >= kNoLine);
      }
    }
  });
}

constexpr std::uint32_t kVersion = 64;  // where it is, in those that have one

struct Named {
  FakePython python{Layout::kCurrentFrame};
  std::unique_ptr<FrameTable> table;
  RawStack raw;
  std::uint64_t died = 0;

  explicit Named(bool deaths, bool versions = false) {
    if (deaths) python.offsets.code_deaths = &died;
    if (versions) python.offsets.code_version = kVersion;
    table = std::make_unique<FrameTable>(python.memory, python.offsets);
    raw.size = 2;
    raw.frames[0] = {kCode, 8};
    raw.frames[1] = {kCode, 0};
    python.code(kCode, "old", "file", 40, kLocations);
  }

  std::string functions() {
    FrameTable::Stack stack;
    if (!table->resolve(raw, &stack)) return "(none)";
    std::string text;
    for (const auto id : stack) {
      text += (*table)[id].function + ":" + std::to_string((*table)[id].line) + " ";
    }
    return text;
  }
};

TEST(names_are_read_once_while_no_code_object_dies) {
  Named named(true);
  CHECK_EQ(named.functions(), "old:40 old:42 ");
  const int before = named.python.memory.calls;
  CHECK_EQ(named.functions(), "old:40 old:42 ");
  CHECK_EQ(named.python.memory.calls, before);
  CHECK_EQ(named.table->size(), 2);
}

TEST(callers_that_stay_have_their_names_until_a_code_object_dies) {
  Named named(true);
  const std::uint64_t other = kCode + 0x1000;
  named.python.code(other, "other", "file", 7, kLocations);
  named.raw.frames[1] = {kCode, 12};  // of no line: shown while it is the newest only
  named.raw.size = 1;
  std::swap(named.raw.frames[0], named.raw.frames[1]);
  CHECK_EQ(named.functions(), "old:0 ");
  named.raw.size = 2;
  std::swap(named.raw.frames[0], named.raw.frames[1]);
  CHECK_EQ(named.functions(), "old:42 ");
  named.raw.frames[0] = {other, 0};
  CHECK_EQ(named.functions(), "other:7 ");
  named.raw.frames[1] = {kCode, 0};
  CHECK_EQ(named.functions(), "old:40 other:7 ");
  named.python.memory.unmap(other);
  CHECK_EQ(named.functions(), "old:40 other:7 ");
  named.raw.deaths = 1;
  CHECK_EQ(named.functions(), "(none)");
  named.raw.frames[0] = {kCode, 8};
  CHECK_EQ(named.functions(), "old:40 old:42 ");
  named.table->clear();
  CHECK_EQ(named.functions(), "old:40 old:42 ");
  CHECK_EQ(named.table->size(), 2);
}

TEST(another_code_object_at_the_same_address_is_another_though_all_its_fields_are_alike) {
  for (const auto& [deaths, versions] :
       {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
    Named named(deaths, versions);
    named.python.memory.put(kCode + kVersion, std::uint32_t{7});
    CHECK_EQ(named.functions(), "old:40 old:42 ");
    named.python.code(kCode, "alike", "file", 40, kLocations);
    named.python.memory.put(kCode + kVersion, std::uint32_t{8});
    named.raw.deaths = 1;
    CHECK_EQ(named.functions(), "alike:40 alike:42 ");
    named.python.code(kCode, "new", "file", 50, kLocations);
    named.raw.deaths = 2;
    CHECK_EQ(named.functions(), "new:50 new:52 ");
    named.python.memory.unmap(kCode);
    named.raw.deaths = 3;
    CHECK_EQ(named.functions(), "(none)");
  }
}

TEST(a_version_proves_that_a_code_object_is_the_same_though_others_died) {
  Named named(true, true);
  named.python.memory.put(kCode + kVersion, std::uint32_t{7});
  CHECK_EQ(named.functions(), "old:40 old:42 ");
  const int before = named.python.memory.calls;
  named.raw.deaths = 1;
  CHECK_EQ(named.functions(), "old:40 old:42 ");
  CHECK_EQ(named.python.memory.calls - before, 1);
  named.python.memory.put(kCode + kVersion, std::uint32_t{0});  // when all numbers are used up
  named.raw.deaths = 2;
  named.functions();
  named.python.code(kCode, "alike", "file", 40, kLocations);
  named.raw.deaths = 3;
  CHECK_EQ(named.functions(), "alike:40 alike:42 ");
}

// One system call in all, where deaths are not counted: frames, and after them the code objects.
TEST(known_code_is_asked_for_with_the_frames) {
  FakePython python(Layout::kCframe);
  python.offsets.code_deaths = nullptr;
  python.offsets.code_version = kVersion;
  std::uint32_t made = 0;
  const auto make = [&](std::uint64_t code, const std::string& function, int line) {
    python.code(code, function, "file", line, table_of(python));
    python.memory.put(code + kVersion, ++made);
  };
  python.memory.map(FakePython::kDataStack, 0x1000);
  std::uint64_t previous = python.entry();
  for (std::uint64_t i = 0; i < 6; ++i) {  // of three code objects, by turns
    const std::uint64_t code = kCode + 0x1000 * (i % 3);
    if (i < 3) make(code, "f" + std::to_string(i), 1);
    python.frame(FakePython::kDataStack + 200 * i, previous, code, 0);
    previous = FakePython::kDataStack + 200 * i;
  }
  python.newest(previous);
  const auto reader = std::make_unique<StackReader>(python.memory, python.offsets);
  const auto table = std::make_unique<FrameTable>(python.memory, python.offsets);
  const auto raw = std::make_unique<RawStack>();
  const auto look = [&] {
    FrameTable::Stack stack;
    CHECK(reader->read(FakePython::kThread, raw.get()) == StackReader::Outcome::kWhole);
    REQUIRE(table->resolve(*raw, &stack));
    std::string names;
    for (const FrameTable::Id id : stack) names += (*table)[id].function;
    return names;
  };
  CHECK_EQ(look(), "f0f1f2f0f1f2");
  const int before = python.memory.calls;
  CHECK_EQ(look(), "f0f1f2f0f1f2");
  CHECK_EQ(python.memory.calls - before, 1);
  make(kCode + 0x1000, "another", 7);
  CHECK_EQ(look(), "f0anotherf2f0anotherf2");
  python.memory.put(kCode + 0x2000, std::uint64_t{0});  // freed
  FrameTable::Stack stack;
  CHECK(reader->read(FakePython::kThread, raw.get()) == StackReader::Outcome::kWhole);
  CHECK(!table->resolve(*raw, &stack));
  // What was read before its frame says nothing of a code object.
  make(kCode + 0x2000, "f2", 1);
  CHECK_EQ(look(), "f0anotherf2f0anotherf2");
  python.memory.map(0x60'0000, 0x100);
  python.frame(0x60'0000, previous, kCode, 0);
  python.newest(0x60'0000);
  CHECK(reader->read(FakePython::kThread, raw.get()) == StackReader::Outcome::kWhole);
  CHECK_EQ(raw->codes.count, 0);
}

TEST(a_caller_without_a_line_is_the_interpreter_s_own) {
  Named named(false);
  named.raw.frames[1].instruction = 12;
  CHECK_EQ(named.functions(), "old:42 ");
  named.raw.frames[0].instruction = 12;  // the newest is shown in any case
  CHECK_EQ(named.functions(), "old:0 ");
}

}  // namespace
}  // namespace gilknocker
