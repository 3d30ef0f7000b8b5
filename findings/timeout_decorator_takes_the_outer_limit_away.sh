#!/usr/bin/env bash
# timeout-decorator 0.5.0: a function with a limit takes away the limit of whoever calls it.
#
# A limit is a timer of the process that sends SIGALRM, and a process has one of them. When the decorated
# function returns, the timer is set to 0 and the handler put back; what was left of the outer limit is
# not. So an outer limit of 0.5 s does not end 1.5 s of waiting if a function with a limit of its own was
# called first, however quick it was. Limits of others go the same way: pytest-timeout (2.4.0) lets a test
# of 2 s pass that has 1 s. setitimer() returns what was left, to be set again. use_signals=False on the
# inner one is a way round.
#
# Guessed before: the shorter limit holds, or at least the outer is set again when the inner is left.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q timeout-decorator==0.5.0 pytest==9.2.0 pytest-timeout==2.4.0 2>pip.log ||
  { cat pip.log; exit 2; }
cat > test_limits.py <<'PYTHON'
import time

from timeout_decorator import TimeoutError, timeout


@timeout(5)
def quick():
    pass


@timeout(0.5)
def outer(first):
    first()
    time.sleep(1.5)


def test_quick():
    quick()
    time.sleep(2)


def test_plain():
    time.sleep(2)


def told(first):
    try:
        outer(first)
    except TimeoutError:
        return "ended by its limit"
    return "not ended"


if __name__ == "__main__":
    print("outer limit, nothing called:", told(lambda: None))
    print("outer limit, quick() called:", told(quick))
PYTHON
{
  env/bin/python test_limits.py
  env/bin/python -m pytest -q --timeout 1 --timeout-method signal -p no:cacheprovider -rA test_limits.py >told || true
  grep -oE '^(PASSED|FAILED) [a-z_.]+::[a-z_]+' told | sort
} | tee output
# Output seen on 2026-11-30, Python 3.11.2 and 3.12.1:
diff output - <<'SEEN' || { echo "not as it was"; exit 1; }
outer limit, nothing called: ended by its limit
outer limit, quick() called: not ended
FAILED test_limits.py::test_plain
PASSED test_limits.py::test_quick
SEEN
