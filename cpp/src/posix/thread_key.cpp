#include <climits>  // for __GLIBC__

#include "gilknocker/per_thread.hpp"

namespace gilknocker {

bool ThreadKey::has_room_in_all() const noexcept {
#if defined(__GLIBC__)
  constexpr pthread_key_t kInEveryThread = 32;  // PTHREAD_KEY_2NDLEVEL_SIZE: the others by calloc()
  return key_ < kInEveryThread;
#else
  return true;
#endif
}

}  // namespace gilknocker
