"""The clock of a trace beside time.monotonic_ns: cpp/tests/test_trace_clock.cpp has its ways."""

from __future__ import annotations

import time

import numpy as np
from needs import needs_tracer
from tracer_programs import runs

from gilknocker import GilTracer, KnockKnock, _core
from gilknocker.testing import hold_gil

pytestmark = needs_tracer

# Wide: six times half of what reading both clocks may take, and more.
APART_NS = 5_000


def apart(times: np.ndarray, before: np.ndarray, after: np.ndarray) -> int:
    """Return how far the nearest of the times is from an interval, of that where it is farthest."""
    times = np.sort(times)
    i = np.searchsorted(times, before)
    near = (times[np.clip(k, 0, len(times) - 1)] for k in (i - 1, i))
    distances = [np.maximum(before - one, one - after) for one in near]
    return max(int(np.minimum(*distances).max()), 0)


def farthest(tracer: GilTracer, seconds: float) -> int:
    """Let go of the GIL for so long; return the most ns that a change was off what time says.

    Each lies between two readings of the clock, whatever the machine does to the thread meanwhile.
    """
    timed = []
    tracer.reset()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = time.monotonic_ns()
        time.sleep(0)
        timed.append((before, time.monotonic_ns()))
        time.sleep(0.0001)
    events = tracer.events()
    holds = events[events["kind"] == GilTracer.HOLD]
    assert len(holds) >= 2 * len(timed)  # more if others want the GIL, too
    before, after = np.array(timed).T
    return max(apart(holds["end"], before, after), apart(holds["start"], before, after))


def test_events_stand_beside_monotonic_ns() -> None:
    with GilTracer() as tracer:
        for _ in range(3):
            assert farthest(tracer, 0.3) <= APART_NS


def test_it_goes_on_where_a_tracer_did_not_run() -> None:
    tracer = GilTracer()
    for _ in range(3):
        with tracer:
            assert farthest(tracer, 0.05) <= APART_NS
        time.sleep(0.2)
    with tracer:
        snapshot = tracer.snapshot()
    assert abs(snapshot.end_ns - time.monotonic_ns()) < 1_000_000_000


def test_who_reads_in_a_long_hold_reads_the_systems_clock() -> None:
    """There is no anchor meanwhile."""
    with GilTracer() as tracer:
        farthest(tracer, 0.05)
        before = time.monotonic_ns()
        hold_gil(0.5)
        seen = tracer.snapshot().end_ns
        after = time.monotonic_ns()
        assert before - APART_NS <= seen <= after + APART_NS
        assert farthest(tracer, 0.05) <= APART_NS


def test_a_snapshot_says_which_clock() -> None:
    with GilTracer(0) as tracer:
        traced = tracer.snapshot()
    assert traced.clock == _core.count_clock()
    with KnockKnock(method="count") as knocker:
        counted = knocker.snapshot()
    assert counted.clock in (traced.clock, None)


def test_the_clock_is_chosen_by_who_traces_alone() -> None:
    runs(
        """
from gilknocker import _core
with GilTracer(0) as tracer:
    alone = tracer.snapshot().clock
from gilknocker import KnockKnock
with KnockKnock(method="count") as knocker:
    time.sleep(0.01)
    assert knocker.snapshot().clock == alone
"""
    )


def test_a_forked_child_has_a_clock_of_its_own() -> None:
    runs(
        """
def trace():
    with GilTracer() as tracer:
        for _ in range(3):
            before = time.monotonic_ns()
            time.sleep(0)
            after = time.monotonic_ns()
            time.sleep(0.002)
        last = tracer.events()[-2]
        assert before - 5_000 <= last["end"] <= after + 5_000, (before, last, after)
tracer = GilTracer()
with tracer:
    spin(0.05)
    child = os.fork()
    if not child:
        trace()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
trace()
"""
    )
