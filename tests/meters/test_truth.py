"""The held fraction against the exact oracle, and on programs whose answer is known.

The bounds are wider than the promised ones, which benchmarks/accuracy.py holds: on a machine whose
CPUs are shared and stolen a window may well miss those (a spinner that waits, the GIL free, until
our knocker gets a CPU). The median of three must keep to them. A look that comes late comes when
the program gives its CPU away, often with the GIL: what late looks say may all be wrong, and the
bounds are wider by their share.

Under 20 µs held and 5 µs free knocks come no more often than each 10 ms: one in flight costs every
release a wake-up, cheap only when the watcher has just woken that CPU, so that the default at
100 µs, each 1 ms, puts the metric up to 0.08 above the truth on some hosts (docs/measurement.md).
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from majority import mostly_within
from needs import SLOW, needs_gil
from oracle import Oracle
from own_threads import KNOCKER, without_a_cpu_ns
from waiting import wait_until

from gilknocker import KnockKnock, Snapshot
from gilknocker.reports.reasons import untimely
from gilknocker.testing import GilLoad, hold_gil

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from workloads import a_little_gil, a_lotta_gil, some_gil

pytestmark = needs_gil
NO_LOOK = 1.0  # a miss: the watcher had no CPU, and nothing is told


def fraction_of(snapshot: Snapshot) -> float:
    assert snapshot.method == "look"
    assert snapshot.held_fraction is not None
    return snapshot.held_fraction


def excess(snapshot: Snapshot, truth: float) -> float:
    """Return the error less 0.05 and three sigma; promised is 0.02, of looks that are in time."""
    sigma = math.sqrt(truth * (1 - truth) / snapshot.ticks)
    return abs(fraction_of(snapshot) - truth) - (0.05 + 3 * sigma + untimely(snapshot))


@pytest.mark.parametrize("interval", [100, 1_000, 10_000])
@pytest.mark.parametrize(("held", "free"), [(5, 45), (20, 5), (500, 500), (50_000, 50_000)])
def test_loads(held: int, free: int, interval: int) -> None:
    knock_interval = max(10 * interval, 10_000) if (held, free) == (20, 5) else None

    def miss() -> float:
        load = GilLoad(held / 1e6, free / 1e6)
        knocker = KnockKnock(interval, knock_interval_micros=knock_interval, method="look")
        with Oracle() as oracle, load, knocker:
            time.sleep(0.02)
            knocker.reset_contention_metric()
            oracle.mark()
            time.sleep(0.8)
            truth = oracle.read().held_fraction
            return excess(knocker.snapshot(), truth)

    mostly_within(miss)


def test_differences_of_snapshots() -> None:
    def miss() -> float:
        with Oracle() as oracle, KnockKnock(method="look") as knocker:
            hold_gil(0.2)
            with GilLoad(300e-6, 700e-6):
                begun = time.monotonic()
                before = knocker.snapshot()
                oracle.mark()
                time.sleep(0.8)
                truth = oracle.read().held_fraction
                window = knocker.snapshot() - before
                around = time.monotonic() - begun
        assert 0.8 <= window.observed_seconds <= around
        return excess(window, truth)

    mostly_within(miss)


@pytest.mark.parametrize(
    ("interval", "seconds"), [(100, 0.5), (1_000, 0.5), (10_000, 1), (100_000, 4)]
)
def test_a_spinner_holds_it_all_the_time(interval: int, seconds: float) -> None:
    def miss() -> float:
        with KnockKnock(interval, method="look") as knocker:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                pass
            # The watcher gets a CPU beside it: how much later than on a machine of its own, is not
            # told here.
            while knocker.snapshot().ticks <= 0.2 * seconds / interval * 1e6:
                assert time.monotonic() < until + 60
            snapshot = knocker.snapshot()
            return 0.9 - fraction_of(snapshot) - untimely(snapshot)

    mostly_within(miss)


def below(bound: float, work: Callable[[], None]) -> float:
    """Return by how much four threads hold it for less than `bound`."""
    snapshot, _ = in_threads(work)
    return bound - fraction_of(snapshot) - untimely(snapshot) if snapshot.ticks else NO_LOOK


def above(bound: float, work: Callable[[], None]) -> float:
    """Return by how much four threads hold it for more than `bound`."""
    snapshot, _ = in_threads(work)
    return fraction_of(snapshot) - bound - untimely(snapshot) if snapshot.ticks else NO_LOOK


def in_threads(work: Callable[[], None], oracle: Oracle | None = None) -> tuple[Snapshot, float]:
    """Measure four threads at work, for as long as any is; return the oracle's fraction too."""
    gate = threading.Barrier(5)

    def run() -> None:
        gate.wait()
        work()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    with KnockKnock(method="look") as knocker:
        if oracle is not None:
            oracle.mark()
        gate.wait()
        for thread in threads:
            thread.join()
        truth = math.nan if oracle is None else oracle.read().held_fraction
    return knocker.snapshot(), truth


def test_four_threads_of_much_gil() -> None:
    mostly_within(lambda: below(0.9, a_lotta_gil))


def test_four_threads_of_little_gil() -> None:
    if SLOW:  # there it is not so little
        mostly_within(lambda: off_the_truth(lambda: a_little_gil(10)))
    else:
        mostly_within(lambda: above(0.2, lambda: a_little_gil(10)))


def test_four_threads_of_some_gil() -> None:
    mostly_within(lambda: off_the_truth(lambda: some_gil(1_000)))


def off_the_truth(work: Callable[[], None]) -> float:
    """Return by how much four threads' fraction is off the oracle's, less 0.1 and late looks."""
    with Oracle() as oracle:
        snapshot, truth = in_threads(work, oracle)
    if snapshot.ticks <= 50:
        return 1.0  # too few looks to tell
    return abs(fraction_of(snapshot) - truth) - 0.1 - untimely(snapshot)


def test_nothing_is_left_of_the_time_before_a_reset() -> None:
    with KnockKnock(100_000, method="look") as knocker:
        hold_gil(1.5)  # so many looks that one beside it does not matter
        assert knocker.contention_metric > 0.9
        before_any_look = 0
        for _ in range(100):
            knocker.reset_contention_metric()
            metric = knocker.contention_metric
            if knocker.snapshot().ticks == 0:
                assert metric < 0.001
                before_any_look += 1
    assert before_any_look > 50


def test_waits_of_a_known_hold() -> None:
    """A knock made while C code holds the GIL waits for what is left of the hold."""

    def miss() -> float:
        with KnockKnock(1_000, knock_interval_micros=1_000) as knocker:
            wait_until(lambda: knocker.snapshot().knocks)
            late = without_a_cpu_ns(KNOCKER)
            hold_gil(0.25)
            time.sleep(0.02)
            snapshot = knocker.snapshot(waits=True)
            late = without_a_cpu_ns(KNOCKER) - late
        longest = snapshot.wait_times.max()
        assert snapshot.wait_max_ns == longest
        asked = snapshot.knock_times[snapshot.wait_times.argmax()]
        assert snapshot.start_ns <= asked < snapshot.end_ns - longest
        # It was asked within the first few ms, unless the machine was late, and never before.
        return float(0.15e9 - late - longest)

    mostly_within(miss)


def test_the_schedule_of_0_4() -> None:
    # What dask.distributed does: read, then reset, every so often; the first time at once.
    knocker = KnockKnock(polling_interval_micros=1_000)
    knocker.start()
    assert type(knocker.contention_metric) is float
    knocker.reset_contention_metric()
    shares = []
    for _ in range(5):
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            pass
        shares.append(knocker.contention_metric)
        knocker.reset_contention_metric()
    assert all(0 <= share <= 1.0 for share in shares)
    # In the median: who was made to let go waits, the GIL free, until the knocker gets a CPU.
    assert median(shares) > 0.9
    time.sleep(0.5)
    assert knocker.contention_metric < 0.1
    assert knocker.is_running
    knocker.stop()
    knocker.stop()
    assert not knocker.is_running
    knocker.reset_contention_metric()
    assert knocker.contention_metric == 0.0


def test_bursts_of_the_schedule_of_0_4() -> None:
    with KnockKnock(polling_interval_micros=1_000) as knocker:
        time.sleep(2.4)
        snapshot = knocker.snapshot(waits=True)
    gaps_ns = snapshot.knock_times[1:] - snapshot.knock_times[:-1]
    rests = int((gaps_ns > 20_000_000).sum())
    # 10 ms of knocks and 190 ms of rest, 12 times; a late wake-up may split or join some.
    assert 6 <= rests <= 18
    assert snapshot.interval_ns == 5_000_000
    # Over the bursts only, of which a late machine may make more than 2.4 s / 20 = 0.12 s.
    assert snapshot.knock_observed_ns < 1.0e9
