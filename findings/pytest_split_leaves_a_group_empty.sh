#!/usr/bin/env bash
# pytest-split 0.11.0, pytest 9.2.0: of tests of 1, 1, 1 and 9 s, one group gets all and the other none.
#
# It is there to split a suite for jobs that run side by side, by the time that each test took before. The
# algorithm that it has by default keeps the order and goes on to the next group when the present one
# has its share or more (DurationBasedChunksAlgorithm): half of 12 s here. The three quick ones are 3 s, so the
# slow one is added to them, and with it both the group and the suite are at an end. The job without tests does
# not just end early: pytest exits with 5 if none is left to run, which CI takes for a failure. More groups do
# not help: of three, two are empty.
# --splitting-algorithm least_duration is a way round, if the order of the tests does not matter.
#
# Guessed before: 3 s and 9 s, for which the order need not change; at least a test for each.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q pytest==9.2.0 pytest-split==0.11.0 2>pip.log || { cat pip.log; exit 2; }
cat > test_four.py <<'PYTHON'
def test_quick_a():
    pass


def test_quick_b():
    pass


def test_quick_c():
    pass


def test_slow():
    pass
PYTHON
cat > .test_durations <<'JSON'
{"test_four.py::test_quick_a": 1, "test_four.py::test_quick_b": 1, "test_four.py::test_quick_c": 1,
 "test_four.py::test_slow": 9}
JSON
for job in "duration_based_chunks 1/2" "duration_based_chunks 2/2" \
  "duration_based_chunks 1/3" "duration_based_chunks 2/3" "duration_based_chunks 3/3" \
  "least_duration 1/2" "least_duration 2/2"; do
  group=${job#* }
  code=0
  env/bin/python -m pytest -q -p no:cacheprovider --splits "${group#*/}" --group "${group%/*}" \
    --splitting-algorithm "${job% *}" >told 2>&1 || code=$?
  echo "$job:$(grep -oE 'estimated duration: [0-9.]+s' told | cut -d: -f2), exit $code"
done | tee output
# Output seen on 2026-12-01, Python 3.11.7 and 3.12.1:
diff output - <<'SEEN' || { echo "not as it was"; exit 1; }
duration_based_chunks 1/2: 12.00s, exit 0
duration_based_chunks 2/2: 0.00s, exit 5
duration_based_chunks 1/3: 12.00s, exit 0
duration_based_chunks 2/3: 0.00s, exit 5
duration_based_chunks 3/3: 0.00s, exit 5
least_duration 1/2: 9.00s, exit 0
least_duration 2/2: 3.00s, exit 0
SEEN
