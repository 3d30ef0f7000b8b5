#!/usr/bin/env bash
# pytest-durations 1.10.0, pytest 9.2.0: the setup of a test took minus one second.
#
# "test setup duration" is without fixtures that tests share (of a scope wider than a function): what they
# took is summed as they are made, and subtracted. If one of them asks for another with
# request.getfixturevalue(), the inner is made while the outer's time runs. So it is in both, and is taken off
# twice (plugin.py, shared_fixture_duration). A negative one is not in the table, only in its grand total,
# written as "-1 day, 23:59:59.5"; where a test has slow fixtures of its own, it is too little, and nothing
# tells. pytest-django 4.14.0 asks so for the database: the first TestCase of a run has a negative setup.
#
# Guessed before: about 0 s for a test without fixtures of its own, 1.5 s for one with 1.5 s of them.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q pytest==9.2.0 pytest-durations==1.10.0 2>/dev/null
cat > conftest.py <<'PYTHON'
import time

import pytest

@pytest.fixture(scope="module")
def inner():
    time.sleep(1)

@pytest.fixture(scope="module")
def outer(request):
    request.getfixturevalue("inner")

@pytest.fixture
def own():
    time.sleep(1.5)
PYTHON
echo 'def test_with_shared(outer): pass' > test_shared.py
echo 'def test_with_both(outer, own): pass' > test_both.py
env/bin/python -m pytest -q -p no:cacheprovider --pytest-durations-show=setup \
  --pytest-durations-json=durations.json > output
grep -E '^ *total |::test_with|grand total' output
env/bin/python - <<'PYTHON'
import json

with open("durations.json") as file:
    rows = json.load(file)["categories"]["test setup"]
seen = {row["name"].split("::")[1]: row["total"] for row in rows}
print({name: round(seconds, 1) for name, seconds in seen.items()})
assert seen["test_with_shared"] < -0.5 and seen["test_with_both"] < 1, "not as it was"
PYTHON
# Seen on 2026-11-30, Python 3.11.7:
# total                   name                         num med                     max
#          0:00:00.500300 test_both.py::test_with_both   1          0:00:00.500300 0:00:00.500300
# -1 day, 23:59:59.499991 grand total                    2 -1 day, 23:59:59.749996 0:00:00.500300
# {'test_with_both': 0.5, 'test_with_shared': -1.0}
