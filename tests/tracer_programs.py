"""Programs that trace, each in an interpreter of its own: how they begin, and how they are run."""

from __future__ import annotations

from pathlib import Path

from runs import python

TESTS = str(Path(__file__).parent)

PRELUDE = f"""
import os, sys, threading, time
sys.path.insert(0, {TESTS!r})
from gilknocker import GilTracer, KnockKnock, _core
from gilknocker.testing import hold_gil, release_gil

def spin(seconds=0.05):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def together(target, count=2):
    threads = [threading.Thread(target=target) for _ in range(count)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()

def pointers(slots):
    import ctypes
    return [ctypes.c_void_p.from_address(slot).value for slot in slots]
"""


def runs(program: str, *, status: int = 0) -> str:
    done = python("-X", "faulthandler", "-W", "error", "-c", PRELUDE + program)
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout
