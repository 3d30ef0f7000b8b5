#include "cpython/cpython_stacks.hpp"

#include <Python.h>
#include <frameobject.h>

#include <cerrno>
#include <cstdint>
#include <memory>

#include "cpython/stack_layout.h"
#include "gilknocker/memory.hpp"
#include "gilknocker/process.hpp"

namespace gilknocker::cpython_stacks {
namespace {

// Guarded by the GIL until problem() has returned null, then constant.
StackOffsets the_offsets{};
std::string* the_problem = nullptr;  // never freed: null before the first question

std::string text_of(PyObject* object) {
  const char* const utf8 = object == nullptr ? nullptr : PyUnicode_AsUTF8(object);
  if (utf8 == nullptr) PyErr_Clear();  // half a surrogate pair, which cannot be compared
  return utf8 == nullptr ? std::string() : std::string(utf8);
}

std::string attribute(PyCodeObject* code, const char* name) {
  PyObject* const object = PyObject_GetAttrString(reinterpret_cast<PyObject*>(code), name);
  std::string text = text_of(object);
  Py_XDECREF(object);
  PyErr_Clear();
  return text;
}

// As the interpreter tells it, the newest first; not the lines, which are asked for below.
std::vector<Frame> told_by_python() {
  std::vector<Frame> frames;
  PyFrameObject* frame = PyThreadState_GetFrame(PyThreadState_Get());
  while (frame != nullptr) {
    PyCodeObject* const code = PyFrame_GetCode(frame);
#if PY_VERSION_HEX >= 0x030B0000
    constexpr const char* kFunction = "co_qualname";
#else
    constexpr const char* kFunction = "co_name";
#endif
    frames.push_back(
        {attribute(code, kFunction), attribute(code, "co_filename"), PyFrame_GetLineNumber(frame)});
    Py_DECREF(code);
    PyFrameObject* const back = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = back;
  }
  return frames;
}

std::string shown(const Frame& frame) {
  return frame.function + " (" + frame.file + ":" + std::to_string(frame.line) + ")";
}

bool same(const Frame& ours, const Frame& theirs) {
  const bool function = theirs.function.empty() || theirs.function == ours.function;
  const bool file = theirs.file.empty() || theirs.file.ends_with(ours.file);
  return function && file && theirs.line == ours.line;
}

std::string find_problem() {
  const char* const missing = gilknocker_find_stack_offsets(&the_offsets);
  if (missing != nullptr) return missing;
  std::uint64_t word = 0;
  const ProcessMemory memory(process::id());
  if (!memory.read(reinterpret_cast<std::uintptr_t>(&the_offsets), &word)) {
    const int error = ProcessMemory::last_error();
    if (error == ENOSYS) return "this system has no process_vm_readv";
    return "process_vm_readv is not permitted here (errno " + std::to_string(error) + ")";
  }
  const std::string wrong = difference();
  return wrong.empty() ? wrong : "the test stack reads wrong: " + wrong;
}

}  // namespace

const char* problem() {
  if (the_problem == nullptr) the_problem = new std::string(find_problem());
  return the_problem->empty() ? nullptr : the_problem->c_str();
}

const StackOffsets& offsets() noexcept { return the_offsets; }

std::string difference() {
  const ProcessMemory memory(process::id());
  const auto raw = std::make_unique<RawStack>();
  const auto reader = std::make_unique<StackReader>(memory, the_offsets);
  const auto table = std::make_unique<FrameTable>(memory, the_offsets);
  const std::vector<Frame> theirs = told_by_python();
  const auto state = reinterpret_cast<std::uintptr_t>(PyThreadState_Get());
  if (reader->read(state, raw.get()) != StackReader::Outcome::kWhole) return "it is unreadable";
  FrameTable::Stack ours;
  if (!table->resolve(*raw, &ours)) return "a code object is unreadable";
  if (raw->cut) return {};  // so deep that nothing is sure to be the same depth
  for (std::size_t i = 0; i < ours.size() && i < theirs.size(); ++i) {
    const Frame& mine = (*table)[ours[ours.size() - 1 - i]];
    if (!same(mine, theirs[i])) return shown(mine) + " in place of " + shown(theirs[i]);
  }
  if (ours.size() == theirs.size()) return {};
  return std::to_string(ours.size()) + " frames in place of " + std::to_string(theirs.size());
}

}  // namespace gilknocker::cpython_stacks
