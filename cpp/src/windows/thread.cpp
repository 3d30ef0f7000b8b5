#include "gilknocker/thread.hpp"

#include <process.h>
#include <windows.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <system_error>

namespace gilknocker {
namespace {

struct Start {
  Thread::Body body;
  void* argument;
};

// A copy, for a body that ends its thread does not come back to free it.
Start take(void* start) { return *std::unique_ptr<Start>(static_cast<Start*>(start)); }

unsigned __stdcall enter(void* start) {
  const Start mine = take(start);
  mine.body(mine.argument);
  return 0;
}

}  // namespace

void Thread::start(Body body, void* argument) {
  auto start = std::make_unique<Start>(Start{body, argument});
  const std::uintptr_t handle = _beginthreadex(nullptr, 0, &enter, start.get(), 0, nullptr);
  if (handle == 0) throw std::system_error(errno, std::generic_category(), "_beginthreadex");
  static_cast<void>(start.release());  // the thread owns it now
  handle_ = reinterpret_cast<void*>(handle);
}

void Thread::join() noexcept {
  WaitForSingleObject(handle_, INFINITE);
  CloseHandle(handle_);
}

void Thread::detach() noexcept { CloseHandle(handle_); }

}  // namespace gilknocker
