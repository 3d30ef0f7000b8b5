/* Where a Python keeps what a stack is read from: plain data, so that a reader of another process
 * can bring another Python's.
 *
 * Offsets are in bytes from the beginning of the object; GILKNOCKER_NONE where there is no such
 * field. Filled in by cpp/src/cpython/stack_layout.c for the Python that we are compiled for.
 */
#ifndef GILKNOCKER_STACK_OFFSETS_H
#define GILKNOCKER_STACK_OFFSETS_H

#include <stdint.h>

#define GILKNOCKER_NONE UINT32_MAX

enum gilknocker_line_table {
  GILKNOCKER_LINES_BY_PAIRS = 1,    /* 3.10: pairs of a length and a difference (PEP 626) */
  GILKNOCKER_LINES_BY_LOCATIONS = 2 /* 3.11+: entries of one byte and more (PEP 657) */
};

struct gilknocker_stack_offsets {
  /* The thread state, and on 3.11 and 3.12 what lies between it and the newest frame. */
  uint32_t thread_frame; /* points to the newest frame, or to the cframe */
  uint32_t cframe_frame; /* of the cframe, points to the newest frame */

  /* A frame: PyFrameObject on 3.10, _PyInterpreterFrame since. */
  uint32_t frame_size; /* so many bytes hold all that follows */
  uint32_t frame_previous;
  uint32_t frame_code;
  uint32_t frame_instruction;
  uint32_t frame_owner;     /* one byte */
  uint32_t artificial_from; /* an owner from here on: no frame of a function; 256: there are none */
  uint32_t frame_state;     /* 3.10: one byte, whether it runs */
  uint64_t code_tag;        /* bits of frame_code that are not the address */

  /* A code object. */
  uint32_t code_size;  /* so many bytes hold all that follows but the instructions */
  uint32_t code_count; /* number of two-byte instructions; none on 3.10 */
  uint32_t code_filename;
  uint32_t code_name;
  uint32_t code_qualname;
  uint32_t code_linetable;
  uint32_t code_firstlineno;
  uint32_t code_version;      /* another for each code object that is made; none before 3.12 */
  uint32_t code_instructions; /* none on 3.10, whose frames keep an index */
  uint32_t line_table;        /* enum gilknocker_line_table */

  /* Any object, strings and bytes. */
  uint32_t object_type;
  uint32_t string_length;
  uint32_t string_state;
  uint32_t string_ascii_data;
  uint32_t string_other_data;
  uint32_t bytes_length;
  uint32_t bytes_data;

  /* The address of PyCode_Type, or 0 where it is not known: what is not of it is no code object. */
  uint64_t code_type;
  /* A number of ours that changes whenever a code object is freed, before its memory is; NULL where
   * they are not counted. Read atomically, by any thread. */
  const uint64_t* code_deaths;
};

#endif
