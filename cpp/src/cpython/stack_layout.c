/* With gil_layout.c the only file that includes CPython's internal headers: they compile as C. */
#if !defined(_WIN32)
#ifndef Py_BUILD_CORE
#define Py_BUILD_CORE 1
#endif
#include <Python.h> /* first: it says what the system's headers declare */
#endif

#include "stack_layout.h"

#if defined(_WIN32)

const char* gilknocker_find_stack_offsets(struct gilknocker_stack_offsets* offsets) {
  (void)offsets;
  return "stacks are not read on Windows";
}

#elif defined(Py_GIL_DISABLED)

const char* gilknocker_find_stack_offsets(struct gilknocker_stack_offsets* offsets) {
  (void)offsets;
  return "a free-threaded build has no holder whose stack could be read";
}

#else

#if PY_VERSION_HEX >= 0x030B0000
#include "internal/pycore_frame.h"
#else
#include <frameobject.h>
#endif
#include "internal/pycore_interp.h"
#include "internal/pycore_runtime.h"
#if PY_VERSION_HEX >= 0x030E0000
#include "internal/pycore_debug_offsets.h"
#endif

#include <stddef.h>
#include <string.h>

#include "gil_layout.h"

#define AT(type, field) ((uint32_t)offsetof(type, field))

static void find_objects(struct gilknocker_stack_offsets* to) {
  to->object_type = AT(PyObject, ob_type);
  to->string_length = AT(PyASCIIObject, length);
  to->string_state = AT(PyASCIIObject, state);
  to->string_ascii_data = (uint32_t)sizeof(PyASCIIObject);
  to->string_other_data = (uint32_t)sizeof(PyCompactUnicodeObject);
  to->bytes_length = AT(PyVarObject, ob_size);
  to->bytes_data = AT(PyBytesObject, ob_sval);
  to->code_type = (uint64_t)(uintptr_t)&PyCode_Type;
}

static void find_code(struct gilknocker_stack_offsets* to) {
  to->code_filename = AT(PyCodeObject, co_filename);
  to->code_name = AT(PyCodeObject, co_name);
  to->code_linetable = AT(PyCodeObject, co_linetable);
  to->code_firstlineno = AT(PyCodeObject, co_firstlineno);
#if PY_VERSION_HEX >= 0x030C0000
  to->code_version = AT(PyCodeObject, co_version);
#else
  to->code_version = GILKNOCKER_NONE;
#endif
#if PY_VERSION_HEX >= 0x030B0000
  to->code_count = AT(PyVarObject, ob_size);
  to->code_qualname = AT(PyCodeObject, co_qualname);
  to->code_instructions = AT(PyCodeObject, co_code_adaptive);
  to->code_size = AT(PyCodeObject, co_code_adaptive);
  to->line_table = GILKNOCKER_LINES_BY_LOCATIONS;
#else
  to->code_count = to->code_qualname = to->code_instructions = GILKNOCKER_NONE;
  to->code_size = (uint32_t)sizeof(PyCodeObject);
  to->line_table = GILKNOCKER_LINES_BY_PAIRS;
#endif
}

static void find_frame(struct gilknocker_stack_offsets* to) {
  to->cframe_frame = GILKNOCKER_NONE;
  to->artificial_from = 256;
  to->code_tag = 0;
#if PY_VERSION_HEX >= 0x030B0000
  typedef struct _PyInterpreterFrame frame;
  to->frame_state = GILKNOCKER_NONE;
  to->frame_previous = AT(frame, previous);
  to->frame_owner = AT(frame, owner);
#if PY_VERSION_HEX >= 0x030D0000
  to->thread_frame = AT(PyThreadState, current_frame);
  to->frame_code = AT(frame, f_executable);
  to->frame_instruction = AT(frame, instr_ptr);
#else
  to->thread_frame = AT(PyThreadState, cframe);
  to->cframe_frame = AT(_PyCFrame, current_frame);
  to->frame_code = AT(frame, f_code);
  to->frame_instruction = AT(frame, prev_instr);
#endif
#if PY_VERSION_HEX >= 0x030E0000
  to->artificial_from = FRAME_OWNED_BY_INTERPRETER;
  to->code_tag =
      3; /* what a _PyStackRef says of the reference; objects are aligned to 8 at least */
#elif PY_VERSION_HEX >= 0x030C0000
  to->artificial_from = FRAME_OWNED_BY_CSTACK;
#endif
  to->frame_size = AT(frame, localsplus);
#else
  to->thread_frame = AT(PyThreadState, frame);
  to->frame_size = AT(PyFrameObject, f_blockstack);
  to->frame_previous = AT(PyFrameObject, f_back);
  to->frame_code = AT(PyFrameObject, f_code);
  to->frame_instruction = AT(PyFrameObject, f_lasti);
  to->frame_owner = GILKNOCKER_NONE;
  to->frame_state = AT(PyFrameObject, f_state);
#endif
}

/* ---- code objects that are freed ------------------------------------------------------------ */

/* Written by any thread that frees a code object, of any interpreter; read by those that look, at
 * any time. The fence: who sees the memory used again sees the number that this has made of it. */
static uint64_t deaths = 0;

/* What the type had before ours, which stays: this extension is never unloaded. Written once, with
 * the GIL held, before the type's field is. */
static destructor destroy_code = NULL;

static void count_death(PyObject* code) {
  __atomic_fetch_add(&deaths, 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  destroy_code(code);
}

/* Code watchers (3.12+) and the count that 3.14 keeps know of one interpreter only, and a GIL may
 * be that of several. */
static const uint64_t* deaths_of_code(void) {
  if (destroy_code == NULL) {
    destroy_code = PyCode_Type.tp_dealloc;
    __atomic_store_n(&PyCode_Type.tp_dealloc, count_death, __ATOMIC_RELEASE);
  }
  return &deaths;
}

/* ---- what the interpreter says of itself ---------------------------------------------------- */

#if PY_VERSION_HEX >= 0x030D0000

/* The headers are of the Python that we were compiled with, this table of the one that runs. */
static const char* check_table(const struct gilknocker_stack_offsets* found) {
  struct _Py_DebugOffsets table;
  if (gilknocker_safe_read(&table, &_PyRuntime, sizeof table) != 0) return "_PyRuntime unreadable";
  if (memcmp(table.cookie, _Py_Debug_Cookie, sizeof table.cookie) != 0) {
    return "no debug offsets in _PyRuntime";
  }
  if (table.version >> 16 != PY_VERSION_HEX >> 16) return "debug offsets of another Python";
  if (table.thread_state.current_frame != found->thread_frame ||
      table.interpreter_frame.previous != found->frame_previous ||
      table.interpreter_frame.executable != found->frame_code ||
      table.interpreter_frame.instr_ptr != found->frame_instruction ||
      table.interpreter_frame.owner != found->frame_owner) {
    return "frames are laid out in another way than the headers say";
  }
  if (table.code_object.filename != found->code_filename ||
      table.code_object.qualname != found->code_qualname ||
      table.code_object.linetable != found->code_linetable ||
      table.code_object.firstlineno != found->code_firstlineno ||
      table.code_object.co_code_adaptive != found->code_instructions) {
    return "code objects are laid out in another way than the headers say";
  }
  return NULL;
}

#else

static const char* check_table(const struct gilknocker_stack_offsets* found) {
  (void)found;
  return NULL;
}

#endif

const char* gilknocker_find_stack_offsets(struct gilknocker_stack_offsets* offsets) {
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || UINTPTR_MAX != UINT64_MAX
  return "stacks are read on little-endian 64-bit machines only";
#endif
  memset(offsets, 0, sizeof *offsets);
  find_objects(offsets);
  find_code(offsets);
  find_frame(offsets);
  const char* const problem = check_table(offsets);
  if (problem == NULL) offsets->code_deaths = deaths_of_code();
  return problem;
}

#endif
