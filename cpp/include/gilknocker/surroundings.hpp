// What a stall watch asks of the process beside the GIL, without the GIL. Faked in tests.
//
// Thread safety: any thread may call anything. Nothing is allocated, and nothing waited for.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "gilknocker/gil.hpp"
#include "gilknocker/nanos.hpp"

namespace gilknocker {

class Surroundings {
 public:
  Surroundings() = default;
  Surroundings(const Surroundings&) = delete;
  Surroundings& operator=(const Surroundings&) = delete;
  virtual ~Surroundings() = default;

  virtual ThreadName name_of(std::uint64_t ident, std::int64_t native_id) const noexcept = 0;
  virtual std::optional<Nanos> cpu_of(std::int64_t native_id) const noexcept = 0;
  // The generation that the garbage collector is at work on.
  virtual std::optional<int> collecting() const noexcept = 0;
  // The program's threads that wait for the GIL, as many as there is room for, and how many there
  // are; nothing where that cannot be told. `ours`: one of ours does.
  virtual std::optional<std::size_t> waiters(const Gil& gil, bool ours,
                                             std::span<std::int64_t> found) const noexcept = 0;
};

class OwnSurroundings final : public Surroundings {
 public:
  ThreadName name_of(std::uint64_t ident, std::int64_t native_id) const noexcept override;
  std::optional<Nanos> cpu_of(std::int64_t native_id) const noexcept override;
  std::optional<int> collecting() const noexcept override;
  std::optional<std::size_t> waiters(const Gil& gil, bool ours,
                                     std::span<std::int64_t> found) const noexcept override;

  // Written by who holds the GIL: the generation that is collected from now on, or negative.
  static void set_collecting(int generation) noexcept;
};

}  // namespace gilknocker
