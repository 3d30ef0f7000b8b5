#!/usr/bin/env bash
# pyinstrument 5.1.3: as pstats, a recursive function took three times as long as the whole program.
#
# "-r pstats" is for what reads profiles of cProfile (snakeviz, gprof2dot, pstats itself). There the
# cumulative time of a function counts its outermost calls only. Here each level of a recursion is added:
# five levels of 0.1 s each are 1.5 s of a run of 0.5 s, and a list sorted by cumulative time begins
# with functions that recurse, whatever they cost. (Its number of calls is that of samples, which its
# documentation says.)
#
# Guessed before: no function has a cumulative time above the total, as with cProfile.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q pyinstrument==5.1.3 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import cProfile
import pstats
import time
from pathlib import Path

from pyinstrument import Profiler
from pyinstrument.renderers import PstatsRenderer


def spin():
    started = time.perf_counter()
    while time.perf_counter() < started + 0.1:
        pass


def recursive(levels):
    if levels > 1:
        recursive(levels - 1)
    spin()


def of_total(stats):
    [cumulative] = [entry[3] for (_, _, name), entry in stats.stats.items() if name == "recursive"]
    return cumulative / stats.total_tt


profiler = Profiler()
with profiler:
    recursive(5)
Path("pyinstrument.pstats").write_text(
    profiler.output(PstatsRenderer()), encoding="utf-8", errors="surrogateescape"
)
exact = cProfile.Profile()
exact.runcall(recursive, 5)
sampled = of_total(pstats.Stats("pyinstrument.pstats"))
traced = of_total(pstats.Stats(exact))
print(f"cumulative time of recursive(), of the total: pyinstrument {sampled:.0f}, cProfile {traced:.0f}")
assert 2.5 < sampled < 3.5 and 0.95 < traced < 1.05, (sampled, traced)
PYTHON
# Seen on 2026-11-29, Python 3.11.2 and 3.12.1:
# cumulative time of recursive(), of the total: pyinstrument 3, cProfile 1
