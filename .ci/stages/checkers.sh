# shellcheck shell=bash
# A part of the test suite, the extension in Python under a checker of memory. Only when named.
checked_part=(tests/meters/test_start_stop.py tests/meters/test_threads.py tests/meters/test_knock_knock.py
  tests/meters/test_tracer.py tests/meters/test_machine.py tests/meters/test_looking.py)
prepare_asan() {
  venv "$work/asan" python3
  GILKNOCKER_SANITIZE=address "$work/asan/bin/pip" install -q "${sdist}[test]"
}
measure_asan() { # leaks are not looked for: Python keeps much at its end
  export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  export PYTHONMALLOC=malloc
  LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)" \
    suite "$work/asan" "${checked_part[@]}"
}
prepare_valgrind() {
  need valgrind valgrind
  local python; python=$(find_python 3.12) || skip "no Python 3.12: valgrind has much to say of others"
  venv "$work/valgrind" "$python"
  GILKNOCKER_SYMBOLS=1 "$work/valgrind/bin/pip" install -q "$sdist"
}
measure_valgrind() {
  export PYTHONMALLOC=malloc
  limit valgrind --quiet --leak-check=no --error-exitcode=9 --fair-sched=yes \
    "$work/valgrind/bin/python" "$work/tree/tests/short_life.py"
}
