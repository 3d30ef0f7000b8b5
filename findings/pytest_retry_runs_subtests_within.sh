#!/usr/bin/env bash
# pytest-retry 1.7.0, pytest 9.2.0: of a test with a failing subtest, "at most 2 retries" become dozens.
#
# Each subtest makes a report of its own, and the plugin takes a failed one for the end of the test:
# it tears the test down and runs the whole of it again from inside the subtest's `with`, where the
# same subtest fails again. It ends when the plugin's own machinery breaks: the failure that is shown
# is "KeyError: 'subtests'", and the assertion that failed is not.
#
# Guessed before: the test is run three times, and fails with the assertion.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q pytest==9.2.0 pytest-retry==1.7.0 2>/dev/null
cat > test_parts.py <<'PYTHON'
def test_parts(subtests):
    with open("runs", "a") as file:
        file.write(".")
    with subtests.test("first"):
        assert 1 + 1 == 3
PYTHON
env/bin/python -m pytest -q --retries 2 -p no:cacheprovider test_parts.py > output || true
runs=$(wc -c < runs)
echo "runs with --retries 2: $runs"
grep '^SUBFAILED' output
grep -c 'assert (1 + 1) == 3' output || true
((runs > 10)) || { echo "not as it was"; exit 1; }
grep -q "KeyError: 'subtests'" output || { echo "not as it was"; exit 1; }
