// Who is told of each look of a watcher, beside the ledger.
//
// Thread safety: all calls come from the watcher's thread.
#pragma once

#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class LookSink {
 public:
  LookSink() = default;
  LookSink(const LookSink&) = delete;
  LookSink& operator=(const LookSink&) = delete;
  virtual ~LookSink() = default;

  virtual void looked(Nanos at, Look look) noexcept = 0;
  // There are no looks from now on, until there are again.
  virtual void rest() noexcept = 0;
};

}  // namespace gilknocker
