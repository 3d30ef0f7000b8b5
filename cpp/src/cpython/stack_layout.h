/* Where the Python that we are compiled for keeps what a stack is read from. */
#ifndef GILKNOCKER_STACK_LAYOUT_H
#define GILKNOCKER_STACK_LAYOUT_H

#include "gilknocker/stack_offsets.h"

#ifdef __cplusplus
extern "C" {
#endif

/* NULL if *offsets was filled in, else the reason in a few words. With the GIL held; before 3.14
 * the first call sees to it that we are told of code objects that are freed, for good: by a code
 * watcher on 3.12 and 3.13, before by standing in for the type's tp_dealloc. */
const char* gilknocker_find_stack_offsets(struct gilknocker_stack_offsets* offsets);

#ifdef __cplusplus
}
#endif

#endif
