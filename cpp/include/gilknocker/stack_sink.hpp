// Who is told of each look that found the GIL held, beside the ledger.
//
// Thread safety: held() is called by the watcher's thread only.
#pragma once

#include <optional>

#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class StackSink {
 public:
  StackSink() = default;
  StackSink(const StackSink&) = delete;
  StackSink& operator=(const StackSink&) = delete;
  virtual ~StackSink() = default;

  // At once after such a look, taken at `at`; returns who holds it, as Gil::holder() does.
  virtual std::optional<HolderId> held(Nanos at) = 0;
};

}  // namespace gilknocker
