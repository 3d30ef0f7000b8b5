# shellcheck shell=bash
# The README's two commands, and the test suite on each Python.
readme_command() { # NAME: the block after <!-- command: NAME -->
  awk -v mark="<!-- command: $1 -->" '
    inside && /^```/ {exit}
    inside
    marked && /^```/ {inside = 1}
    $0 == mark {marked = 1}' "$work/tree/README.md"
}
run_readme() { # NAME
  local command; command=$(readme_command "$1")
  [[ $command ]] || { echo "README.md has no block after <!-- command: $1 -->"; return 1; }
  copy_tree "$work/$stage"; cd "$work/$stage"
  echo "$command"
  unset GILKNOCKER_WERROR # a person's build
  limit bash -e -c "$command"
}
measure_test() { run_readme test; }
prepare_example() { run_readme example; }
prepare_debug() {
  venv "$work/debug" python3
  GILKNOCKER_DEBUG=1 "$work/debug/bin/pip" install -q "${sdist}[test]"
  cd "$work"; "$work/debug/bin/python" -c 'from gilknocker import _core; assert _core.DEBUG'
}
# Without what is of pure Python (mypy checks it for the oldest), or statistics of what the core sees:
# where neither the debug build has anything to add, nor a Python beside the machine's and the newest.
# And which Python reads one of another build makes no difference.
part_only=(--ignore=tests/integrations --ignore=tests/commands --ignore=tests/reports
  --ignore=tests/snapshot/test_value.py --ignore=tests/snapshot/test_algebra.py
  --ignore=tests/snapshot/test_one_line.py --ignore=tests/snapshot/test_as_dict.py
  --ignore=tests/snapshot/test_pickle_state.py --ignore=tests/snapshot/test_histogram.py
  --ignore=tests/meters/test_arguments.py --ignore=tests/meters/test_truth.py
  --ignore=tests/meters/outside/test_builds.py
  --ignore=tests/test_documents.py --ignore=tests/test_torture.py --ignore=tests/test_rooms.py)
measure_debug() { suite "$work/debug" "${part_only[@]}"; }
prepare_python() { # X.Y[td]
  local python install=$root/../shared/tools/install-pythons env=$work/python-$1
  if ! python=$(find_python "$1"); then
    [[ -x $install ]] || skip "no Python $1 on this machine"
    with_apt "$install" "$work/pythons" "$1" || skip "no Python $1 to be had today"
    python=$work/pythons/$1/bin/python
  fi
  venv "$env" "$python"
  "$env/bin/pip" install -q --only-binary=numpy numpy 2>&1 | tee "$state/$stage.numpy" ||
    { ! grep -q 'No matching distribution found for numpy' "$state/$stage.numpy" ||
      skip "numpy has no wheel for Python $1"; return 1; }
  "$env/bin/pip" install -q --only-binary=numpy,hypothesis "${sdist}[test]"
}
measure_python() { # X.Y[td]
  local left_out=()
  if [[ $1 == *t ]]; then measure_free_threaded "$1"; return; fi
  [[ $1 == "${pythons[-1]}" || $1 == *d || ${GILKNOCKER_CI_WHOLE-} ]] || left_out=("${part_only[@]}")
  suite "$work/python-$1" ${left_out[@]+"${left_out[@]}"}
}
measure_free_threaded() { # X.Yt
  local kind
  for kind in 1 0; do
    PYTHON_GIL=$kind suite "$work/python-$1"
  done
  "$work/python-$1/bin/pip" install -q "pytest-run-parallel>=0.3"
  PYTHON_GIL=0 suite "$work/python-$1" --parallel-threads=4
}
for x in "${pythons[@]}" 3.13d 3.13t; do
  eval "prepare_python-$x() { prepare_python $x; }; measure_python-$x() { measure_python $x; }"
done
