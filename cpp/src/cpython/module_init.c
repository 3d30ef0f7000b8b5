/* What Python calls to import gilknocker._core: Cython's own init, behind a look at who asks.
 *
 * The module's state is one for the whole process: the GIL that it measures, and Cython's objects.
 * In a second interpreter, or in a second life of the first (Py_Finalize, Py_Initialize), those
 * belong to somebody who is somewhere else, or dead. Cython tells interpreters apart by their
 * number, which is 0 in each of those lives. So it must not be asked; we say ImportError.
 */
#include <Python.h>
#include <stdbool.h>

/* Cython's, renamed in _core.pyx. */
PyMODINIT_FUNC gilknocker_cython_init(void);
PyMODINIT_FUNC PyInit__core(void);

typedef PyObject* (*Create)(PyObject* spec, PyModuleDef* definition);

/* Guarded by the GIL: of the main interpreter, the only one that comes so far. */
static Create cython_create = NULL;
static bool had_a_life = false;

/* 1 where this life of the interpreter may have the module, 0 where it may not, -1 on an error.
 * A mark in the interpreter's own dictionary lives exactly as long as that. */
static int belongs_here(PyInterpreterState* interpreter) {
  PyObject* const marks = PyInterpreterState_GetDict(interpreter);
  if (marks == NULL) return had_a_life ? 0 : 1;
  PyObject* const key = PyUnicode_FromString("gilknocker._core");
  if (key == NULL) return -1;
  const int marked = PyDict_Contains(marks, key);
  int answer = marked;
  if (marked == 0 && !had_a_life) answer = PyDict_SetItem(marks, key, Py_True) == 0 ? 1 : -1;
  Py_DECREF(key);
  return answer;
}

static PyObject* guarded_create(PyObject* spec, PyModuleDef* definition) {
  PyInterpreterState* const interpreter = PyInterpreterState_Get();
  if (interpreter != PyInterpreterState_Main()) {
    PyErr_SetString(PyExc_ImportError,
                    "gilknocker measures the main interpreter's GIL: it can be imported there, not "
                    "in a sub-interpreter");
    return NULL;
  }
  const int answer = belongs_here(interpreter);
  if (answer == 0) {
    PyErr_SetString(PyExc_ImportError,
                    "gilknocker can be imported only once in a process: not again after "
                    "Py_Finalize() and Py_Initialize()");
  }
  if (answer != 1) return NULL;
  had_a_life = true;
  return cython_create(spec, definition);
}

PyMODINIT_FUNC PyInit__core(void) {
  PyObject* const made = gilknocker_cython_init();
  if (made == NULL || cython_create != NULL) return made;
  if (!PyObject_TypeCheck(made, &PyModuleDef_Type)) {
    PyErr_SetString(PyExc_ImportError, "gilknocker._core was built without multi-phase init");
    return NULL;
  }
  for (PyModuleDef_Slot* slot = ((PyModuleDef*)made)->m_slots; slot->slot != 0; ++slot) {
    if (slot->slot == Py_mod_create && slot->value != (void*)guarded_create) {
      cython_create = (Create)slot->value;
      slot->value = (void*)guarded_create;
    }
  }
  return made;
}
