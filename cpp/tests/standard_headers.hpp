// What most of the core and its tests include of the standard library: `run` has it parsed once, in
// the place of once a file. Who needs one includes it all the same: clang's run, and the build of
// the extension, do without this file.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>
