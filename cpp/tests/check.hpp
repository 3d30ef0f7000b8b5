// A test framework in a page: TEST(name) { CHECK(...); }, and check::run() runs them.
//
// doctest or Catch2 would be better kept, but they come as Debian packages; from PyPI, which is all
// that the README's test command may use, there are only stray repackagings of old releases.
//
// Thread safety: the CHECK macros may be used by any thread of a test; REQUIRE throws, so only by
// the test's own. A test joins its threads before it returns.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*body)();
};

struct Stop {};  // thrown by REQUIRE

inline std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

// Failures of the running test: atomic, for its threads report here too.
inline std::atomic<int> failures{0};

// Said with each failure of this thread: the seed of a random case, say.
inline std::string& note() {
  thread_local std::string text;
  return text;
}

struct Registration {
  Registration(const char* name, void (*body)()) { tests().push_back({name, body}); }
};

template <typename T>
std::string show(const T& value) {
  std::ostringstream text;
  text.precision(17);
  if constexpr (std::is_enum_v<T>) {
    text << +static_cast<std::underlying_type_t<T>>(value);
  } else if constexpr (requires { text << value; }) {
    text << std::boolalpha << value;
  } else {
    text << "(a value without operator<<)";
  }
  return text.str();
}

template <typename T>
concept Integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;

template <typename A, typename B>
bool equal(const A& a, const B& b) {
  if constexpr (Integer<A> && Integer<B>) {
    return std::cmp_equal(a, b);
  } else {
    return a == b;
  }
}

// Out of line and only for failures: properties check millions of times.
[[gnu::noinline]] inline bool fail(const char* file, int line, const std::string& what) {
  constexpr int shown = 10;  // a property that fails, fails often
  if (failures.fetch_add(1, std::memory_order_relaxed) < shown) {
    std::fprintf(stderr, "%s:%d: %s%s%s\n", file, line, what.c_str(), note().empty() ? "" : "; ",
                 note().c_str());
  }
  return false;
}

inline bool passes(const Test& test) {
  failures = 0;
  note().clear();
  const auto start = std::chrono::steady_clock::now();
  try {
    test.body();
  } catch (const Stop&) {
  } catch (const std::exception& error) {
    fail(test.name, 0, std::string("threw ") + error.what());
  }
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  std::printf("%-6s %6.2f s  %s\n", failures == 0 ? "ok" : "FAILED", spent.count(), test.name);
  std::fflush(stdout);
  return failures == 0;
}

// Runs the tests whose name contains `filter`; none at all is a failure.
inline int run(const std::string& filter) {
  int passed = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    if (std::string(test.name).find(filter) != std::string::npos) {
      ++(passes(test) ? passed : failed);
    }
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;
}

}  // namespace check

#define TEST(name)                                               \
  static void name();                                            \
  static const check::Registration register_##name{#name, name}; \
  static void name()

#define CHECK(condition) ((condition) ? true : check::fail(__FILE__, __LINE__, #condition))

#define REQUIRE(condition)                      \
  do {                                          \
    if (!CHECK(condition)) throw check::Stop{}; \
  } while (false)

#define CHECK_EQ(a, b)                                                                            \
  [](const char* file, int line, const auto& left, const auto& right) {                           \
    return check::equal(left, right) || check::fail(file, line,                                   \
                                                    "" #a " is " + check::show(left) + ", not " + \
                                                        check::show(right) + " (" #b ")");        \
  }(__FILE__, __LINE__, a, b)

#define CHECK_NEAR(a, b, tolerance)                                                                \
  [](const char* file, int line, double left, double right, double allowed) {                      \
    return std::abs(left - right) <= allowed ||                                                    \
           check::fail(file, line,                                                                 \
                       "" #a " is " + check::show(left) + ", not within " + check::show(allowed) + \
                           " of " + check::show(right) + " (" #b ")");                             \
  }(__FILE__, __LINE__, static_cast<double>(a), static_cast<double>(b),                            \
    static_cast<double>(tolerance))

#define CHECK_THROWS(expression, Error)                                           \
  [&] {                                                                           \
    try {                                                                         \
      static_cast<void>(expression);                                              \
    } catch (const Error&) {                                                      \
      return true;                                                                \
    }                                                                             \
    return check::fail(__FILE__, __LINE__, #expression " did not throw " #Error); \
  }()
