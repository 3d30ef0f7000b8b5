/* What becomes of a knocker's thread state where CPython's API has no word for it: one that is made
 * by one thread for another, and deleted for it. docs/cpython-rules.md says why.
 *
 * Thread safety: each function says who may call it.
 */
#ifndef GILKNOCKER_THREAD_STATE_H
#define GILKNOCKER_THREAD_STATE_H

#include <Python.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where there is no GIL much of a state is bound to the thread that makes it, and on Windows
 * CPython's internals are out of reach: there the thread that uses it makes and deletes it. */
#if defined(Py_GIL_DISABLED) || defined(_WIN32)
#define GILKNOCKER_OWNER_MAKES_STATE 1
#else
#define GILKNOCKER_OWNER_MAKES_STATE 0
#endif

/* Anything that reads the stacks of all threads finds none here, instead of an empty one. Right
 * after the state was made. */
void gilknocker_hide_frames(PyThreadState* state);

#if !GILKNOCKER_OWNER_MAKES_STATE

/* A state that is no thread's yet; NULL without memory. REQUIRES: the GIL held. */
PyThreadState* gilknocker_new_state(PyInterpreterState* interpreter);

/* From now on it is the calling thread's. REQUIRES: that has no other, and nobody deletes it. */
void gilknocker_move_in(PyThreadState* state);

/* REQUIRES: the GIL held by another thread than its own, which never uses it again. */
void gilknocker_delete_state(PyThreadState* state);

#endif

#ifdef __cplusplus
}
#endif

#endif
