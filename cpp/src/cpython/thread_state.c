#include "thread_state.h"

#include <Python.h>

/* Includes CPython's internal headers, which compile as C only. */
#if PY_VERSION_HEX < 0x030C0000 && !GILKNOCKER_OWNER_MAKES_STATE
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include "internal/pycore_runtime.h"
#endif

/* CPython 3.15 gives each state a bottom frame, and its own sampler fails at all threads of the
 * process where it finds nothing else in one of them (python/cpython#157605). Everybody who walks
 * through frames ends at NULL, as up to 3.14 at once where no Python code runs. */
void gilknocker_hide_frames(PyThreadState* state) {
#if PY_VERSION_HEX >= 0x030F0000
  state->current_frame = NULL;
  state->base_frame = NULL;
#else
  (void)state;
#endif
}

#if !GILKNOCKER_OWNER_MAKES_STATE

static void set_ids(PyThreadState* state, unsigned long ident, unsigned long native_id) {
  state->thread_id = ident;
#if PY_VERSION_HEX >= 0x030B0000 && defined(PY_HAVE_THREAD_NATIVE_ID)
  state->native_thread_id = native_id;
#else
  (void)native_id;
#endif
}

static void set_ids_of_caller(PyThreadState* state) {
#if defined(PY_HAVE_THREAD_NATIVE_ID)
  set_ids(state, PyThread_get_thread_ident(), PyThread_get_thread_native_id());
#else
  set_ids(state, PyThread_get_thread_ident(), 0);
#endif
}

PyThreadState* gilknocker_new_state(PyInterpreterState* interpreter) {
  /* The maker would be taken for this state's thread by PyGILState_Ensure(). (CPython gives every
   * thread that has the GIL a state there, but up to 3.11 not where others did what we do here.) */
  if (PyGILState_GetThisThreadState() == NULL) return NULL;
  PyThreadState* const state = PyThreadState_New(interpreter);
  if (state == NULL) return NULL;
  set_ids(state, 0, 0); /* the maker's: what is meant for that thread would come here */
  gilknocker_hide_frames(state);
  return state;
}

void gilknocker_move_in(PyThreadState* state) {
  set_ids_of_caller(state);
#if PY_VERSION_HEX < 0x030C0000
  /* As CPython does on its own threads; later versions when the state is first used. */
  PyThread_tss_set(&_PyRuntime.gilstate.autoTSSkey, state);
#endif
}

void gilknocker_delete_state(PyThreadState* state) {
  if (state->thread_id == 0) set_ids_of_caller(state); /* CPython's debug build asserts some */
  PyThreadState_Clear(state);
#if PY_VERSION_HEX >= 0x030C0000
  /* It would make PyGILState_Ensure() forget the state of the thread that calls, not of its own. */
  state->_status.bound_gilstate = 0;
#endif
  PyThreadState_Delete(state);
}

#endif
