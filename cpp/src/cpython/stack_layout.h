/* Where the Python that we are compiled for keeps what a stack is read from. */
#ifndef GILKNOCKER_STACK_LAYOUT_H
#define GILKNOCKER_STACK_LAYOUT_H

#include "gilknocker/stack_offsets.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NULL if *offsets was filled in, else the reason in a few words. With the GIL held; the first call
 * stands in for the tp_dealloc of the code type, for good, to count the code objects that are
 * freed. */
const char* gilknocker_find_stack_offsets(struct gilknocker_stack_offsets* offsets);

#ifdef __cplusplus
}
#endif

#endif
