/* Where the Python that we are compiled for keeps what is read of another process, by name. */
#ifndef GILKNOCKER_OUTSIDE_LAYOUT_H
#define GILKNOCKER_OUTSIDE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gilknocker_layout_field {
  const char* name;
  uint64_t value;
};

/* NULL if `fields` were filled in, *count of them, else the reason in a few words. */
const char* gilknocker_own_layout(struct gilknocker_layout_field* fields, size_t room,
                                  size_t* count);

#ifdef __cplusplus
}
#endif

#endif
