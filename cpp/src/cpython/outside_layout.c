/* Beside gil_layout.c and stack_layout.c: the offsets by which another process is read. */
#if !defined(_WIN32)
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h> /* first: it says what the system's headers declare */
#endif

#include "outside_layout.h"

#if defined(_WIN32) || defined(Py_GIL_DISABLED)

const char* gilknocker_own_layout(struct gilknocker_layout_field* fields, size_t room,
                                  size_t* count) {
  (void)fields, (void)room, (void)count;
  return "this build has no layout of its own: Windows, or a free-threaded Python";
}

#else

#include "internal/pycore_ceval.h"
#include "internal/pycore_gil.h"
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#include "stack_layout.h"

typedef struct _gil_runtime_state gil_state;

const char* gilknocker_own_layout(struct gilknocker_layout_field* fields, size_t room,
                                  size_t* count) {
  struct gilknocker_stack_offsets stacks;
  const char* const problem = gilknocker_find_stack_offsets(&stacks);
  if (problem != NULL) return problem;
  const struct gilknocker_layout_field all[] = {
      {"runtime_main", offsetof(_PyRuntimeState, interpreters.main)},
#if PY_VERSION_HEX >= 0x030E0000
      {"runtime_debugger", offsetof(_PyRuntimeState, debug_offsets.debugger_support)},
#endif
#if PY_VERSION_HEX >= 0x030C0000
      {"interpreter_gil", offsetof(PyInterpreterState, ceval.gil)},
#else
      {"runtime_gil", offsetof(_PyRuntimeState, ceval.gil)},
#endif
#if PY_VERSION_HEX >= 0x030B0000
      {"interpreter_threads", offsetof(PyInterpreterState, threads.head)},
#else
      {"interpreter_threads", offsetof(PyInterpreterState, tstate_head)},
#endif
      {"interpreter_id", offsetof(PyInterpreterState, id)},
      {"gil_interval", offsetof(gil_state, interval)},
      {"gil_last_holder", offsetof(gil_state, last_holder)},
      {"gil_locked", offsetof(gil_state, locked)},
      {"gil_switch_number", offsetof(gil_state, switch_number)},
      {"thread_next", offsetof(PyThreadState, next)},
      {"thread_interpreter", offsetof(PyThreadState, interp)},
      {"thread_id", offsetof(PyThreadState, id)},
      {"thread_ident", offsetof(PyThreadState, thread_id)},
#if PY_VERSION_HEX >= 0x030B0000
      {"thread_native_id", offsetof(PyThreadState, native_thread_id)},
#endif
      {"thread_frame", stacks.thread_frame},
      {"cframe_frame", stacks.cframe_frame},
      {"frame_size", stacks.frame_size},
      {"frame_previous", stacks.frame_previous},
      {"frame_code", stacks.frame_code},
      {"frame_instruction", stacks.frame_instruction},
      {"frame_owner", stacks.frame_owner},
      {"artificial_from", stacks.artificial_from},
      {"frame_state", stacks.frame_state},
      {"code_tag", stacks.code_tag},
      {"code_size", stacks.code_size},
      {"code_count", stacks.code_count},
      {"code_filename", stacks.code_filename},
      {"code_name", stacks.code_name},
      {"code_qualname", stacks.code_qualname},
      {"code_linetable", stacks.code_linetable},
      {"code_firstlineno", stacks.code_firstlineno},
      {"code_version", stacks.code_version},
      {"code_instructions", stacks.code_instructions},
      {"line_table", stacks.line_table},
      {"object_type", stacks.object_type},
      {"string_length", stacks.string_length},
      {"string_state", stacks.string_state},
      {"string_ascii_data", stacks.string_ascii_data},
      {"string_other_data", stacks.string_other_data},
      {"bytes_length", stacks.bytes_length},
      {"bytes_data", stacks.bytes_data},
  };
  *count = sizeof all / sizeof all[0];
  if (*count > room) return "there is no room for the layout";
  for (size_t i = 0; i < *count; ++i) fields[i] = all[i];
  return NULL;
}

#endif
