#include "gilknocker/this_thread.hpp"

#include <windows.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <thread>

namespace gilknocker::this_thread {
namespace {

constinit thread_local bool ours = false;

using SetDescription = HRESULT(WINAPI*)(HANDLE, PCWSTR);

}  // namespace

void set_name(const char* name) noexcept {
  // Looked up, for Windows 8.1 has none, and Python <= 3.12 runs there.
  const auto set = reinterpret_cast<SetDescription>(reinterpret_cast<void*>(
      GetProcAddress(GetModuleHandleW(L"kernel32.dll"), "SetThreadDescription")));
  if (set == nullptr) return;
  std::array<wchar_t, 16> wide{};
  for (std::size_t i = 0; i + 1 < wide.size() && name[i] != 0; ++i) {
    wide[i] = static_cast<wchar_t>(name[i]);
  }
  set(GetCurrentThread(), wide.data());
}

void ask_for_exact_timers() noexcept {}
bool ask_for_short_slice() noexcept { return false; }
std::optional<Usage> usage() noexcept { return std::nullopt; }

void sleep_for(Nanos duration) noexcept {
  std::this_thread::sleep_for(std::chrono::nanoseconds(duration));
}

void mark_ours() noexcept { ours = true; }
bool is_ours() noexcept { return ours; }

}  // namespace gilknocker::this_thread
