#!/usr/bin/env bash
# psutil 7.2.2: in oneshot(), cpu_percent(interval=0.5) of a busy process waits for 0.5 s and returns 0.0.
#
# With an interval it reads the CPU time, sleeps and reads again: the way to ask without a call before.
# oneshot() keeps what was read first until it is left, CPU times among it, so both readings are one and
# the difference is 0 for every process, however long the interval. Its documentation names cpu_percent()
# among what is answered faster within; whoever asks for an interval means what is between. It has to be
# asked before or after the block.
#
# Guessed before: about the same in the block and out of it.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
[[ $(uname -s) == "Linux" ]] || { echo "seen on Linux only"; exit 2; }
python3 -m venv env
env/bin/pip install -q psutil==7.2.2 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import subprocess
import sys
import time

import psutil

with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
    process = psutil.Process(busy.pid)
    try:
        before = process.cpu_percent(interval=0.5)
        started = time.perf_counter()
        with process.oneshot():
            within = process.cpu_percent(interval=0.5)
        waited = time.perf_counter() - started
        after = process.cpu_percent(interval=0.5)
    finally:
        busy.kill()
print(f"before and after oneshot() more than 5: {before > 5}, {after > 5}; in it: {within}, after {waited:.1f} s")
assert before > 5 and within == 0 and waited >= 0.5 and after > 5, (before, within, waited, after)
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1:
# before and after oneshot() more than 5: True, True; in it: 0.0, after 0.5 s
