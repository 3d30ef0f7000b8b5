# shellcheck shell=bash
# A part of the test suite, the extension in Python under a checker of memory. Only when named.
checked_part=(tests/meters/test_start_stop.py tests/meters/test_stuck_knocks.py
  tests/meters/test_threads.py tests/meters/test_knock_knock.py tests/meters/test_tracer.py
  tests/meters/test_machine.py tests/meters/test_looking.py)
prepare_asan() {
  venv "$work/asan" python3
  GILKNOCKER_SANITIZE=address "$work/asan/bin/pip" install -q "${sdist}[test]"
}
lives=(beside_faulthandler beside_current_frames beside_setprofile beside_monitoring stacks_read)
measure_asan() { # leaks are not looked for: Python keeps much at its end
  local runtime
  runtime="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
  # What is freed is overwritten: Python, which is not checked itself, crashes if it goes there.
  export ASAN_OPTIONS=detect_leaks=0:max_free_fill_size=65536:free_fill_byte=221
  export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 PYTHONMALLOC=malloc
  # Not what is about accuracy, of code that it makes slow.
  LD_PRELOAD=$runtime suite "$work/asan" "${checked_part[@]}" -k "not witness_s"
  LD_PRELOAD=$runtime limit "$work/asan/bin/python" "$work/tree/tests/torture/run.py" --seed 1 \
    --count 20 --forks 0 --tracers "${lives[@]}" # a child may get its allocator's lock
}
prepare_valgrind() {
  need valgrind valgrind
  local python; python=$(find_python 3.12) || skip "no Python 3.12: valgrind has much to say of others"
  venv "$work/valgrind" "$python"
  GILKNOCKER_SYMBOLS=1 "$work/valgrind/bin/pip" install -q "$sdist"
}
measure_valgrind() {
  local fault
  export PYTHONMALLOC=malloc TORTURE_SECONDS=4
  memcheck short_life.py
  for fault in "${lives[@]}"; do memcheck torture/life.py "$fault" 1 1; done
}
memcheck() { # FILE [ARG...]: of tests/
  limit valgrind --quiet --leak-check=no --error-exitcode=9 --fair-sched=yes \
    "$work/valgrind/bin/python" "$work/tree/tests/$1" "${@:2}"
}
