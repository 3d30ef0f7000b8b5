"""The held fraction against the exact oracle, and on programs whose answer is known.

The bounds are wider than the promised ones, which benchmarks/accuracy.py holds: on a machine whose
CPUs are shared and stolen a window may well miss those (a look that comes late *because* the holder
has its CPU; a spinner that waits, the GIL free, until our knocker gets a CPU). One of several
windows must keep to the wide ones.

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

import pytest
from needs import SLOW, needs_gil
from oracle import Oracle

from gilknocker import KnockKnock, Snapshot
from gilknocker.testing import GilLoad, hold_gil

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from workloads import a_little_gil, a_lotta_gil, some_gil

pytestmark = needs_gil
ATTEMPTS = 5


def settles(miss: Callable[[], float]) -> None:
    """Check that `miss`, by how much a bound is exceeded, is not positive for once."""
    misses: list[float] = []
    while not misses or misses[-1] > 0:
        assert len(misses) < ATTEMPTS, misses
        misses.append(miss())


def fraction_of(snapshot: Snapshot) -> float:
    assert snapshot.method == "look"
    assert snapshot.held_fraction is not None
    return snapshot.held_fraction


def excess(snapshot: Snapshot, truth: float) -> float:
    """Return the error less 0.05 and three sigma; promised is 0.02."""
    sigma = math.sqrt(truth * (1 - truth) / snapshot.ticks)
    return abs(fraction_of(snapshot) - truth) - (0.05 + 3 * sigma)


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

    settles(miss)


def test_differences_of_snapshots() -> None:
    def miss() -> float:
        with Oracle() as oracle, KnockKnock(method="look") as knocker:
            hold_gil(0.2)
            with GilLoad(300e-6, 700e-6):
                before = knocker.snapshot()
                oracle.mark()
                time.sleep(0.8)
                truth = oracle.read().held_fraction
                window = knocker.snapshot() - before
        assert 0.8 <= window.observed_seconds < 0.8 + 1
        return excess(window, truth)

    settles(miss)


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
            return 0.9 - knocker.contention_metric

    settles(miss)


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
    settles(lambda: 0.9 - fraction_of(in_threads(a_lotta_gil)[0]))


def test_four_threads_of_little_gil() -> None:
    if SLOW:  # there it is not so little
        settles(lambda: off_the_truth(lambda: a_little_gil(10)))
    else:
        settles(lambda: fraction_of(in_threads(lambda: a_little_gil(10))[0]) - 0.2)


def test_four_threads_of_some_gil() -> None:
    settles(lambda: off_the_truth(lambda: some_gil(1_000)))


def off_the_truth(work: Callable[[], None]) -> float:
    """Return by how much four threads' fraction is off the oracle's, less 0.1."""
    with Oracle() as oracle:
        snapshot, truth = in_threads(work, oracle)
    if snapshot.ticks <= 50:
        return 1.0  # too few looks to tell
    return abs(fraction_of(snapshot) - truth) - 0.1


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
    # A knock made while C code holds the GIL waits for what is left of the hold.
    with KnockKnock(1_000, knock_interval_micros=1_000) as knocker:
        hold_gil(0.25)
        time.sleep(0.02)
        snapshot = knocker.snapshot(waits=True)
    longest = snapshot.wait_times.max()
    # It was asked within the first few ms, unless the machine was late, and never before.
    assert longest > 0.15e9
    assert snapshot.wait_max_ns == longest
    asked = snapshot.knock_times[snapshot.wait_times.argmax()]
    assert snapshot.start_ns <= asked < snapshot.end_ns - longest


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
    assert all(0.9 < share <= 1.0 for share in shares)
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
        time.sleep(1.2)
        snapshot = knocker.snapshot(waits=True)
    gaps_ns = snapshot.knock_times[1:] - snapshot.knock_times[:-1]
    rests = int((gaps_ns > 20_000_000).sum())
    # 10 ms of knocks and 100 ms of rest, 11 times; a late wake-up may split or join some.
    assert 6 <= rests <= 14
    assert snapshot.interval_ns == 5_000_000
    # Over the bursts only, of which a late machine may make more than 1.2 s / 11 = 0.11 s.
    assert snapshot.knock_observed_ns < 0.5e9
