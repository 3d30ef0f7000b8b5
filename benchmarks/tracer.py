"""What does tracing cost, and how exact is it? Beside the oracle, and beside no tracer at all.

    python benchmarks/tracer.py [--rounds 25]

Cost: nanoseconds that each release and acquire of the GIL takes longer (a read of one byte of
/dev/zero releases it once), and how much longer two workloads take: rounds with and without in
turn, the minimum of each. Accuracy: the held fraction against the oracle beneath the tracer, over
the same time, and against the load's own clock. Exits with 1 if a promise is not kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cost import Verdicts, seconds_of
from machine import describe
from steal import StealTime
from workloads import a_lotta_gil, some_gil

from gilknocker import GilTracer

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from witness import witnessed

PAIRS = 100_000
LOADS = ((5, 45), (5, 5), (20, 5), (20, 20), (100, 100), (100, 900), (500, 500), (900, 100))


def read_zeros(count: int = PAIRS) -> float:
    """Return how long a read of one byte takes, in ns."""
    fd = os.open("/dev/zero", os.O_RDONLY)
    read = os.read
    start = time.perf_counter_ns()
    for _ in range(count):
        read(fd, 1)
    elapsed = time.perf_counter_ns() - start
    os.close(fd)
    return elapsed / count


def cost_of_a_pair(rounds: int) -> dict[str, float]:
    """Return the least time of a read, in ns, by what traces it."""
    sums, events = GilTracer(0), GilTracer()
    least = dict.fromkeys(("none", "sums", "events", "stopped"), float("inf"))
    for _ in range(rounds):
        least["none"] = min(least["none"], read_zeros())
        for name, tracer in (("sums", sums), ("events", events)):
            with tracer:
                least[name] = min(least[name], read_zeros())
        least["stopped"] = min(least["stopped"], read_zeros())
    return least


def slowdown(work: Callable[[], None], rounds: int) -> float:
    """Return how much longer `work` takes under a tracer: the ratio of the minima, less 1."""
    tracer = GilTracer()
    plain, traced = [], []
    for n in range(2 * rounds):
        if n % 2:
            with tracer:
                traced.append(seconds_of(work))
        else:
            plain.append(seconds_of(work))
    return min(traced) / min(plain) - 1


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    print(describe())
    verdicts = Verdicts()
    steal = StealTime()
    least = cost_of_a_pair(rounds)
    print(f"a read of one byte, which releases the GIL once: {least['none']:.0f} ns")
    for name, bound in (("sums", 60), ("events", 90)):
        more = least[name] - least["none"]
        verdicts.at_most(f"a release and acquire, {name}: longer by", more, bound, "ns")
    # Nothing is left of it (tests/meters/test_tracer_relocations.py), so this is what noise is.
    print(f"the same again, stopped: longer by {least['stopped'] - least['none']:.1f} ns")
    for work in (some_gil, a_lotta_gil):
        longer = 100 * slowdown(work, rounds)
        verdicts.at_most(f"{work.__name__}, traced: longer by", longer, 1, "%")
    for held, free in LOADS:
        seen = witnessed(held / 1e6, free / 1e6, 1)
        what = f"{held} µs held, {free} µs free: distance from "
        verdicts.at_most(what + "the oracle", abs(seen.traced - seen.oracle), 0.002, "")
        if held >= 100:
            verdicts.at_most(what + "the load's own clock", abs(seen.thread - seen.load), 0.004, "")
    print(f"steal time {steal.share():.1%}; {verdicts.passed} kept, {verdicts.failed} not")
    return 1 if verdicts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
