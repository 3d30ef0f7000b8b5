/* Where CPython keeps the GIL's lock word, found without ever following an unproven pointer.
 *
 * Thread safety: gilknocker_find_gil() is called with the GIL held (on a free-threaded build:
 * attached). The four reads may be made by any thread at any time, with no lock: each is one
 * atomic load of a word that CPython itself writes atomically or under the GIL's mutex. Relaxed
 * order suffices, for nothing else is read on the strength of what they say.
 */
#ifndef GILKNOCKER_GIL_LAYOUT_H
#define GILKNOCKER_GIL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gilknocker_gil {
  void* whole;        /* NULL where it is not as the headers say */
  const int* enabled; /* NULL where there always is a GIL */
  const int* locked;
  void* const* last_holder;
  const unsigned long* switch_number;
  const int* drop_request; /* NULL where each thread state has its own */
};

/* NULL if *gil was filled in, else the reason in a few words. `shift` moves every offset by so
 * many bytes: for the tests, which must see a wrong layout refused. */
const char* gilknocker_find_gil(struct gilknocker_gil* gil, ptrdiff_t shift);

/* Copies through the kernel, which answers an error where a load would crash. 0 on success. */
int gilknocker_safe_read(void* to, const void* from, size_t size);

/* Where each thread state has its own: the bit of its eval_breaker. Else 0. */
extern const uintptr_t gilknocker_drop_request_bit;

/* So many bytes from the beginning of a thread state answer what is asked of a copy of it: the
 * state itself may be gone any moment. */
extern const size_t gilknocker_state_size;

/* Whether another thread has asked that of a thread state to let go of the GIL. */
int gilknocker_drop_requested(const struct gilknocker_gil* gil, const void* copy);

/* Who is behind a thread state. */
struct gilknocker_thread {
  uint64_t id;
  unsigned long ident;
  unsigned long native_id; /* 0 where this Python does not keep it */
};

void gilknocker_identify(const void* copy, struct gilknocker_thread* thread);

/* For the child of a fork that Python does not know of: as if no other thread had ever asked for
 * the GIL, or had it. What CPython does itself in the children of os.fork(), later than this. */
void gilknocker_forget_other_threads(const struct gilknocker_gil* gil);

/* Whether the calling thread holds the GIL. Any thread, any time. */
int gilknocker_is_mine(const struct gilknocker_gil* gil);

int gilknocker_is_enabled(const struct gilknocker_gil* gil);
int gilknocker_is_locked(const struct gilknocker_gil* gil);
void* gilknocker_last_holder(const struct gilknocker_gil* gil);
/* How often the GIL has passed from one thread to another: the same before and after, with the same
 * holder, means that no other thread has held it in between. */
unsigned long gilknocker_switch_number(const struct gilknocker_gil* gil);

/* Where the locks are in which threads wait for it, and its own words. 0 if that is known. */
int gilknocker_waiting_place(const struct gilknocker_gil* gil, uint64_t* begin, uint64_t* end);

#ifdef __cplusplus
}
#endif

#endif
