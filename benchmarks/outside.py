"""How far is the watch from outside from the truth, and how fast and right is a dump?

    python benchmarks/outside.py [--seconds 5] [--windows 12] [--dumps 100] [--pythons PYTHON...]

Each of the other Pythons needs gilknocker, for the truth is what the target's own tracer counts. A
load is watched at 1 ms for windows of time, one after the other. |held - exact| must be at most
0.02 and what chance may do to n looks, 3 sqrt(p (1 - p) / n), in each; its mean at most 0.005 and
what chance may do to that: how far a window is off is chance, or it is a fault. A dump of a process
that keeps the GIL in C code must take at most 200 ms, the start of the command included, and name
the thread and the line that hold it, each time; where the process ends meanwhile, it must be done
or say so in one line. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy
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
MOST_BIAS = 0.005
MOST_SECONDS = 0.2

# Each tenth of a second it notes when that was, the time held so far, and the turns so far.
NOTING = """
import json, sys, threading, time
from gilknocker import GilTracer, _load
load = _load.Load(int(sys.argv[1]) * 1000, int(sys.argv[2]) * 1000, sleep=sys.argv[3] == "1")
noted = []
def work():
    turns = 0
    while True:
        turns += load.run(duration_ns=100_000_000)[3]
        noted.append((time.monotonic_ns(), tracer.snapshot().held_ns, turns))
with GilTracer(0) as tracer:
    threading.Thread(target=work, daemon=True).start()
    for _ in sys.stdin:
        now, noted = noted, []
        print(json.dumps(now), flush=True)
"""
STUCK = """
import threading
from gilknocker import _load
def in_c():
    print(threading.get_native_id(), flush=True)
    _load.hold_gil(600.0)
threading.Thread(target=in_c).start()
"""
ENDED = re.compile(r"there is no process \d+|process \d+ has ended")
STUCK_AT = ("in_c", "<string>", 6)


@contextmanager
def running(python: str, code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends."""
    process = subprocess.Popen(
        [python, "-c", code, *words],
        cwd="/",  # not where gilknocker's sources are
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def noted(process: subprocess.Popen[str]) -> list[list[int]]:
    """Let the target say what it has noted since it was asked last."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return list(json.loads(process.stdout.readline()))


class Windows(NamedTuple):
    """Of windows of time, one after the other: shares of time held, said and exact, and looks."""

    said: numpy.ndarray
    exact: numpy.ndarray
    looks: numpy.ndarray

    def within_chance(self) -> numpy.ndarray:
        """Return the standard error of each, of that many looks at random."""
        return numpy.sqrt(self.exact * (1 - self.exact) / self.looks)


def watched(process: subprocess.Popen[str], seconds: float, count: int) -> tuple[Windows, float]:
    """Watch so many windows; return them, and the share of looks that were missed."""
    read = []
    with OutsideMeter(Target(process.pid), 1000) as meter:
        while not read or read[-1][0] - read[0][0] < (seconds * count + 0.2) * 1e9:
            now = meter.read()
            if now["ticks"]:
                read.append([now[name] for name in ("ended_ns", "ticks_held", "ticks")])
            time.sleep(0.01)
        missed = meter.snapshot().ticks_missed
    instants, held, looks = numpy.array(read).T
    when, truly_held, _ = numpy.array(noted(process)).T
    edges = max(instants[0], when[0]) + numpy.arange(count + 1) * seconds * 1e9

    def gained(at: numpy.ndarray, what: numpy.ndarray) -> numpy.ndarray:
        return numpy.diff(numpy.interp(edges, at, what))

    here = gained(instants, looks)
    exact = gained(when, truly_held) / (seconds * 1e9)
    return Windows(gained(instants, held) / here, exact, here), missed / (missed + looks[-1])


def accuracy(python: str, seconds: float, count: int) -> bool:
    """Print a line for each load; whether all are near enough."""
    good = True
    for held, free, sleeps in LOADS:
        with running(python, NOTING, str(held), str(free), str(int(sleeps))) as process:
            time.sleep(0.5)
            version = "{}.{}".format(*Target(process.pid).version)
            windows, missed = watched(process, seconds, count)
        errors, chance = windows.said - windows.exact, windows.within_chance()
        unsure = math.sqrt((chance**2).sum()) / count
        passed = bool(
            (abs(errors) <= MOST_ERROR + 3 * chance).all()
            and abs(errors.mean()) <= MOST_BIAS + 3 * unsure
        )
        good &= passed
        print(
            f"{'ok  ' if passed else 'FAIL'} {version:4} {held:6} µs held {free:6} free: "
            f"exact {windows.exact.mean():.4f}, mean error {errors.mean():+.4f}, "
            f"of chance {unsure:.4f}; a window {math.sqrt((errors**2).mean()):.4f} off, "
            f"of chance {math.sqrt((chance**2).mean()):.4f}, worst {abs(errors).max():.4f}, "
            f"{(abs(errors) > MOST_ERROR).sum()} of {count} beyond {MOST_ERROR:g}; "
            f"{missed:.1%} of looks missed",
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


def endings(python: str, count: int) -> bool:
    """Print how many dumps of processes that end meanwhile are clear; whether all are."""
    whole = told = 0
    for number in range(count):
        with running(python, STUCK) as process:
            assert process.stdout is not None
            process.stdout.readline()
            dump = subprocess.Popen(
                [sys.executable, "-m", "gilknocker", "dump", str(process.pid)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            time.sleep(MOST_SECONDS * number / count)
        _, error = dump.communicate(timeout=60)
        whole += dump.returncode == 0 and not error
        line = error.startswith("gilknocker: error: ") and error.count("\n") == 1
        told += dump.returncode == 2 and line and ENDED.search(error) is not None
    good = whole + told == count
    print(
        f"{'ok  ' if good else 'FAIL'} dump of {python} that ends meanwhile: {whole} were done "
        f"before, {told} said so in a line, of {count}"
    )
    return good


def main() -> int:
    """Print the figures and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of a window (5)")
    parser.add_argument("--windows", type=int, default=12, help="for each load (12)")
    parser.add_argument("--dumps", type=int, default=100, help="how many (100)")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], help="of the targets")
    options = parser.parse_args()
    print(describe())
    steal, good = StealTime(), []
    if options.windows:
        good += [accuracy(one, options.seconds, options.windows) for one in options.pythons]
    if options.dumps:
        good += [dumps(one, options.dumps) for one in options.pythons]
        good += [endings(one, options.dumps) for one in options.pythons]
    print(f"steal time {steal.share():.1%}")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
