"""How far is the metric from the truth? Every load and interval beside the exact oracle.

    python benchmarks/accuracy.py [--method count] [--seconds 1] [--intervals 100 1000 10000]

The truth is the time that threads of the program held the GIL's lock, from the interpreter's own
condition variables (tests/oracle). What was counted must be within 0.002. Of looks each case must
be within 0.02 + 3 sqrt(p (1 - p) / n), n the looks taken, and the median error of those with
n >= 1000 at most 0.015. Of single looks more than 1 µs away from a change of the lock, 99.9 % must
agree with the oracle. Exits with 1 if not.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from looks import look_agreement
from machine import describe
from steal import StealTime

from gilknocker import KnockKnock
from gilknocker.testing import GilLoad

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracle import HELD_BY_OTHER, Oracle

# Held and free, in microseconds: duty cycles 0.1 to 0.9, holds 5 µs to 50 ms.
LOADS = (
    (5, 45),
    (5, 5),
    (20, 5),
    (20, 20),
    (100, 900),
    (500, 500),
    (900, 100),
    (2_000, 500),
    (5_000, 45_000),
    (50_000, 50_000),
    (50_000, 10_000),
)
SETTLE_SECONDS = 0.05
LOG = 1 << 20  # changes of the GIL in the longest window


@dataclass(frozen=True)
class Case:
    """One load at one interval, and what was seen of it."""

    interval_micros: int
    held_micros: int
    free_micros: int
    sleeping: bool
    counted: bool
    truth: float
    metric: float
    ticks: int
    late: int
    missed: int
    own_cpu: float
    steal: float

    @property
    def error(self) -> float:
        """Metric less truth."""
        return self.metric - self.truth

    @property
    def bound(self) -> float:
        """The error that is allowed: of looks 0.02, and three sigma of a sample of this size."""
        if self.counted:
            return 0.002
        variance = self.truth * (1 - self.truth) / max(self.ticks, 1)
        return 0.02 + 3 * math.sqrt(max(variance, 0.0))

    @property
    def passed(self) -> bool:
        """Whether the error is within the bound."""
        return abs(self.error) <= self.bound

    def row(self) -> str:
        """Lay the case out as a line of the table."""
        return (
            f"{self.interval_micros:8} {self.held_micros:7} {self.free_micros:7} "
            f"{'sleep' if self.sleeping else 'spin':5} {self.truth:6.3f} {self.metric:6.3f} "
            f"{self.error:+7.4f} {self.bound:6.4f} {'ok  ' if self.passed else 'FAIL'} "
            f"{self.ticks:6} {self.late:5} {self.missed:6} {self.own_cpu:6.1%} {self.steal:6.1%}"
        )


HEADER = (
    "interval    held    free how    truth metric   error  bound      "
    " ticks  late missed    cpu  steal"
)


def measure(
    method: Literal["count", "look"],
    interval_micros: int,
    held_micros: int,
    free_micros: int,
    sleeping: bool,
    seconds: float,
) -> Case:
    """Run one load under the meter and the oracle beneath it."""
    steal = StealTime()
    load = GilLoad(held_micros / 1e6, free_micros / 1e6, sleep=sleeping)
    meter = KnockKnock(interval_micros, method=method, max_overhead=1)
    with meter as knocker, Oracle(log=LOG, beneath=True) as oracle, load:
        time.sleep(SETTLE_SECONDS)
        before = knocker.snapshot()
        time.sleep(seconds)
        snapshot = knocker.snapshot() - before
        seen = oracle.transitions()
    held_ns = seen.spent_ns(HELD_BY_OTHER, snapshot.start_ns, snapshot.end_ns)
    truth = held_ns / (snapshot.end_ns - snapshot.start_ns)
    return Case(
        interval_micros,
        held_micros,
        free_micros,
        sleeping,
        snapshot.counted_ns > 0,
        truth,
        snapshot.held_fraction or 0.0,
        snapshot.ticks,
        snapshot.ticks_late,
        snapshot.ticks_missed,
        snapshot.cpu_ns / 1e9 / snapshot.observed_seconds,
        steal.share(),
    )


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Measure everything, the intervals interleaved."""
    for _, (held, free), sleeping, interval, seconds in itertools.product(
        range(options.rounds), LOADS, (False, True), options.intervals, options.seconds
    ):
        if sleeping and held < 100:
            continue  # a sleep of 5 µs takes 60
        yield measure(options.method, interval, held, free, sleeping, seconds)


def verdict(seen: list[Case]) -> bool:
    """Print the summary, and say whether all bounds hold."""
    failed = [case for case in seen if not case.passed]
    many = [abs(case.error) for case in seen if case.ticks >= 1000]
    median = statistics.median(many) if many else 0.0
    for interval in sorted({case.interval_micros for case in seen}):
        errors = [case.error for case in seen if case.interval_micros == interval]
        print(
            f"{interval:8} µs: median |error| {statistics.median(map(abs, errors)):.4f}, "
            f"mean error {statistics.mean(errors):+.4f}, worst {max(map(abs, errors)):.4f}"
        )
    if many:
        print(f"median |error| where ticks >= 1000: {median:.4f} (bound 0.015)")
    print(f"{len(seen) - len(failed)} passed, {len(failed)} failed")
    return not failed and median <= 0.015


def main() -> int:
    """Print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--method", choices=("count", "look"), default="count")
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[1.0], help="the windows of each case (1)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="over all loads (1)")
    parser.add_argument("--intervals", type=int, nargs="+", default=[100, 1_000, 10_000])
    options = parser.parse_args()
    print(describe())
    print(HEADER)
    seen = []
    for case in cases(options):
        print(case.row(), flush=True)
        seen.append(case)
    good = verdict(seen)
    for held, free in ((5, 5), (20, 5), (500, 500)) if options.method == "look" else ():
        agrees = look_agreement(held, free, looks=5_000)
        good &= bool(agrees.mean() >= 0.999)
        print(
            f"looks at {held} µs held, {free} µs free: {agrees.mean():.4%} of {len(agrees)} agree"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
