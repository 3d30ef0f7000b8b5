"""One life: ``life.py FAULT SEED TRACERS``. Run by run.py, in a process of its own."""

from __future__ import annotations

import sys

import subject
from faults import FAULTS

if __name__ == "__main__":
    name, seed, tracers = sys.argv[1:]
    one = FAULTS[name]
    if one.before is not None:
        one.before()
    subject.begin(int(seed), tracers == "1")
    one.life()
