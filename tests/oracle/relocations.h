/* Redirects the interpreter's own calls of pthread_cond_signal(), and undoes it.
 *
 * Every function needs the GIL: it is what serialises them. Other threads may call through the
 * relocated pointers at any time: those stay readable, and change in one atomic store. */

#ifndef GILKNOCKER_TESTS_RELOCATIONS_H
#define GILKNOCKER_TESTS_RELOCATIONS_H

#include <pthread.h>
#include <stddef.h>

typedef int (*cond_signal)(pthread_cond_t*);

/* Looks for the pointers to redirect, in the object that contains `code`. */
enum found { FOUND, FOUND_NONE, FOUND_FOREIGN /* redirected already, or too many */ };
enum found find_relocations(const void* code);

/* What find_relocations() found last: where somebody else led them, or NULL. */
const void* foreign_target(void);
size_t relocation_count(void);
const void* relocation_address(size_t index);

/* Both return 0, or -1 if not everything could be done: then redirect() has changed nothing, while
 * restore() has left alone what no longer holds `hook`: it is somebody else's by now. */
int redirect_relocations(cond_signal hook);
int restore_relocations(cond_signal hook);

#endif
