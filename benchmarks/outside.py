"""How far is the watch from outside from the truth, and how fast and right is a dump?

    python benchmarks/outside.py [--seconds 5] [--dumps 100] [--pythons PYTHON...]

Each of the other Pythons needs gilknocker, for the truth is what the target's own tracer counts. A
load is watched at 1 ms: |held - exact| must be at most 0.02. A dump of a process that keeps the GIL
in C code must take at most 200 ms, the start of the command included, and name the thread and the
line that hold it, each time. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from machine import describe
from steal import StealTime

from gilknocker.meters.outside.target import Target
from gilknocker.meters.outside.watch import OutsideMeter

# Held and free, in microseconds, and whether the free time is slept: as benchmarks/accuracy.py has.
LOADS = (
    (100, 900, True),
    (500, 500, False),
    (2_000, 500, False),
    (5_000, 45_000, True),
    (20, 20, False),
    (50_000, 10_000, True),
)
MOST_ERROR = 0.02
MOST_SECONDS = 0.2

TRACED = """
import sys
from gilknocker import GilTracer
from gilknocker.testing import GilLoad
held, free, sleep = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"
with GilTracer(0) as tracer, GilLoad(held / 1e6, free / 1e6, sleep=sleep):
    before = tracer.snapshot()
    for line in sys.stdin:
        now = tracer.snapshot()
        print((now - before).held_fraction, flush=True)
        before = now
"""
STUCK = """
import threading
from gilknocker import _load
def in_c():
    print(threading.get_native_id(), flush=True)
    _load.hold_gil(600.0)
threading.Thread(target=in_c).start()
"""
STUCK_AT = ("in_c", "<string>", 6)


@contextmanager
def running(python: str, code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends."""
    process = subprocess.Popen(
        [python, "-c", code, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str]) -> float:
    """Let the target say how much was held since it was asked last."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def accuracy(python: str, seconds: float) -> bool:
    """Print a line for each load; whether all are near enough."""
    good = True
    for held, free, sleeps in LOADS:
        steal = StealTime()
        with running(python, TRACED, str(held), str(free), str(int(sleeps))) as process:
            told(process)
            target = Target(process.pid)
            with OutsideMeter(target, 1000) as meter:
                told(process)
                meter.wait(seconds)
                exact = told(process)
            snapshot = meter.snapshot()
        error = snapshot.held_fraction - exact
        passed = abs(error) <= MOST_ERROR
        good &= passed
        print(
            f"{'ok  ' if passed else 'FAIL'} {target.version[0]}.{target.version[1]:<3} "
            f"{held:6} µs held {free:6} free: exact {exact:.4f}, "
            f"outside {snapshot.held_fraction:.4f}, "
            f"{error:+.4f}; {snapshot.ticks} looks, {snapshot.ticks_missed} missed, "
            f"steal {steal.share():.1%}",
            flush=True,
        )
    return good


def dumps(python: str, count: int) -> bool:
    """Print how long dumps take and how many are right; whether all are, and in time."""
    times, right = [], 0
    with running(python, STUCK) as process:
        assert process.stdout is not None
        thread = int(process.stdout.readline())
        time.sleep(0.2)
        for _ in range(count):
            command = [sys.executable, "-m", "gilknocker", "dump", "--json", str(process.pid)]
            begun = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            times.append(time.perf_counter() - begun)
            [holder] = [one for one in json.loads(done.stdout)["threads"] if one["holds"]]
            place = tuple((holder["frames"] or [{}])[-1].values())
            right += place == STUCK_AT and holder["native_id"] in (thread, 0)
    good = right == count and max(times) <= MOST_SECONDS
    print(
        f"{'ok  ' if good else 'FAIL'} dump of {python}: {right} of {count} right, "
        f"median {statistics.median(times) * 1e3:.0f} ms, longest {max(times) * 1e3:.0f} ms"
    )
    return good


def main() -> int:
    """Print the figures and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each load (5)")
    parser.add_argument("--dumps", type=int, default=100, help="how many (100)")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], help="of the targets")
    options = parser.parse_args()
    print(describe())
    good = [accuracy(python, options.seconds) for python in options.pythons]
    good += [dumps(python, options.dumps) for python in options.pythons]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
