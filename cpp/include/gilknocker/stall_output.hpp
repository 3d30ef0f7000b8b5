// A file descriptor to which stalls are told: each write is whole, or none, and never waits.
//
// Thread safety: belongs to one thread. Nothing is allocated, no lock is taken.
#pragma once

#include <string_view>

namespace gilknocker {

class StallOutput {
 public:
  StallOutput() = default;
  StallOutput(const StallOutput&) = delete;
  StallOutput& operator=(const StallOutput&) = delete;
  virtual ~StallOutput() = default;

  // False if it could not be written now: nobody reads it, it is full, or leads elsewhere.
  virtual bool write(std::string_view words) noexcept = 0;
};

// A descriptor, and where it led when this was made.
struct Descriptor {
  int number = -1;  // negative: nothing is ever written
  unsigned long long device = 0;
  unsigned long long file = 0;

  static Descriptor of(int number) noexcept;  // a closed one leads nowhere, and is -1
};

// The descriptor is the program's, and so is its file description: neither is changed, and none is
// kept open. A program may close it and get the same number for a file of its own: to that nothing
// is written.
class DescriptorOutput final : public StallOutput {
 public:
  explicit DescriptorOutput(const Descriptor& descriptor) noexcept : descriptor_(descriptor) {}

  bool write(std::string_view words) noexcept override;

 private:
  const Descriptor descriptor_;
};

}  // namespace gilknocker
