# shellcheck shell=bash
# The sources themselves: how they look, what is shipped of them, the C++ tests, the manual.
prepare_lint() {
  local bad=0
  venv "$work/lint" python3
  "$work/lint/bin/pip" install -q "$(main_wheel)[lint,test,notebook,dask-dashboard,opentelemetry,prometheus]"
  cd "$work/tree"; PATH=$work/lint/bin:$PATH
  lint ruff check --output-format=concise .
  lint ruff format --check .
  lint mypy
  lint cython-lint --no-pycodestyle gilknocker # pycodestyle knows no C++ in a .pxd
  lint clang-format --dry-run -Werror --ferror-limit=1 $(find cpp tests -name '*.[ch]' -o -name '*.[ch]pp')
  cd "$work/lint" # away from the sources, for stubtest imports what it checks
  lint python -m mypy.stubtest --mypy-config-file "$work/tree/pyproject.toml" gilknocker
  return $bad
}
lint() { echo "== $*" | cut -c 1-60; "$@" 2>&1 | head -n 30 || bad=1; }
prepare_sdist() {
  local system
  copy_tree "$work/sdist-checkout"
  "$work/tools/bin/python" .ci/check_sdist.py "$work/sdist-checkout" "$sdist"
  for system in linux macos windows; do # what [tool.cibuildwheel] says is understood
    "$work/tools/bin/cibuildwheel" --platform "$system" --print-build-identifiers "$work/tree"
  done
}
prepare_cpp-asan() { GILKNOCKER_CPP_BUILD=$work/cpp-asan limit "$work/tree/cpp/tests/run" asan; }
prepare_cpp-tsan() { GILKNOCKER_CPP_BUILD=$work/cpp-tsan limit "$work/tree/cpp/tests/run" tsan; }
prepare_cpp-clang() {
  need clang++ clang
  GILKNOCKER_CPP_BUILD=$work/cpp-clang "$work/tree/cpp/tests/run" clang
}
# In a tree of its own: the linters would read what the build copies into docs/, and others copy the
# tests from theirs meanwhile.
prepare_docs() {
  prepare_company docs
  copy_tree "$work/docs-tree"; cd "$work/docs-tree"
  limit "$work/docs/bin/sphinx-build" -W --keep-going -b html docs "$work/manual"
}
measure_docs() {
  cd "$work/docs-tree"; limit "$work/docs/bin/pytest" tests/test_documents.py
}
