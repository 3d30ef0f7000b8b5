"""Who takes the GIL back before those that wait are awake: counted, and told by the events."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from needs import needs_tracer

from gilknocker import GilTracer, Snapshot, ThreadTimes

pytestmark = needs_tracer


def lets_go_often(goes_on: Callable[[], bool]) -> None:
    """Compute and read a byte, over and over; not in step with anybody."""
    zero = os.open("/dev/zero", os.O_RDONLY)
    while goes_on():
        rest = time.monotonic() + random.uniform(0.0001, 0.001)
        while time.monotonic() < rest:
            pass
        os.read(zero, 1)
    os.close(zero)


def asks_often(goes_on: Callable[[], bool]) -> None:
    while goes_on():
        time.sleep(random.uniform(0.0001, 0.001))


def traced(*targets: Callable[[Callable[[], bool]], None]) -> tuple[GilTracer, Snapshot]:
    """Run them until the GIL was retaken ten times: how soon is the machine's."""
    end = time.monotonic() + 60

    def goes_on() -> bool:
        return tracer.snapshot().retakes < 10 and time.monotonic() < end

    threads = [
        threading.Thread(target=target, args=(goes_on,), name=f"{target.__name__}-{n}")
        for n, target in enumerate(targets)
    ]
    with GilTracer() as tracer:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        time.sleep(0.001)
        snapshot = tracer.snapshot()
    return tracer, snapshot


def told_by_events(tracer: GilTracer) -> tuple[int, int, int]:
    """Return retakes, how often threads were passed over, and their waits of that kind, ns."""
    events = tracer.events()
    holds = events[events["kind"] == GilTracer.HOLD]
    waits = events[events["kind"] == GilTracer.WAIT]
    retaken = [0] * len(waits)
    retakes = 0
    for before, after in pairwise(holds):
        if before["thread"] != after["thread"]:
            continue
        waiting = (waits["start"] < before["end"]) & (waits["end"] > after["start"])
        retakes += bool(waiting.any())
        for number in waiting.nonzero()[0]:
            retaken[number] += 1
    lengths = waits["end"] - waits["start"]
    passed_over_ns = sum(int(ns) for ns, times in zip(lengths, retaken, strict=True) if times)
    return retakes, sum(retaken), passed_over_ns


@pytest.mark.parametrize(
    "targets",
    [
        (lets_go_often, asks_often),
        (lets_go_often, lets_go_often, asks_often, asks_often),
    ],
    ids=["one", "many"],
)
def test_they_are_those_that_the_events_tell(
    targets: tuple[Callable[[Callable[[], bool]], None], ...],
) -> None:
    tracer, snapshot = traced(*targets)
    threads = tracer.threads()
    retakes, passed_over, passed_over_ns = told_by_events(tracer)
    # Of one that was made to let go nobody knew yet that it wants it back: the events do.
    assert 10 <= snapshot.retakes == sum(t.retakes for t in threads) <= retakes
    assert sum(t.passed_over for t in threads) == passed_over
    assert snapshot.passed_over_ns == sum(t.passed_over_ns for t in threads) == passed_over_ns
    assert snapshot.retakes <= snapshot.wanted_releases
    assert snapshot.passed_over_ns <= snapshot.waited_ns


def test_a_thread_alone_retakes_nothing() -> None:
    with GilTracer(0) as tracer:
        rounds = iter(range(200))
        lets_go_often(lambda: next(rounds, None) is not None)
        snapshot = tracer.snapshot()
    assert (snapshot.holds > 10, snapshot.retakes, snapshot.wanted_releases) == (True, 0, 0)


def test_they_are_stored_subtracted_and_merged() -> None:
    tracer, snapshot = traced(lets_go_often, asks_often)
    again = Snapshot.from_dict(snapshot.to_dict())
    assert (again.retakes, again.passed_over_ns) == (snapshot.retakes, snapshot.passed_over_ns)
    assert (snapshot - snapshot).retakes == 0
    assert (snapshot + snapshot).retakes == 2 * snapshot.retakes
    row = tracer.threads()[0]
    assert ThreadTimes.from_dict(row._asdict()) == row
    old = {key: value for key, value in row._asdict().items() if "pass" not in key}
    with pytest.raises(ValueError, match="must have the keys"):
        ThreadTimes.from_dict(old)
    del old["wanted_releases"], old["retakes"]
    assert ThreadTimes.from_dict(old).retakes == 0
