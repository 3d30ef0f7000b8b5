"""Totals of a meter: what no reset takes away."""

from __future__ import annotations

import os
import threading
import time
from _weakref import ref
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs_tracer
from stories import MS, UNIX, tell, ticks_lists, waits_lists

from gilknocker import GilTracer, KnockKnock, Snapshot
from gilknocker.meters.totals import Totals
from gilknocker.meters.totals import tell as tell_totals
from gilknocker.testing import GilLoad


class Scripted:
    """A meter whose looks and knocks a test makes up."""

    _totals: tuple[ref[Totals], ...] = ()

    def __init__(self, pid: int = 42) -> None:
        self.pid, self.epoch = pid, 0
        self.begins = 0  # ms
        self.ticks: list[str] = []
        self.waits: list[int] = []
        self.more: dict[str, Any] = {}

    def snapshot(self) -> Snapshot:
        start = 1000 + self.begins * MS
        end = start + len(self.ticks) * MS
        return tell(
            self.ticks,
            self.waits,
            epoch=self.epoch,
            pid=self.pid,
            start_ns=start,
            end_ns=end,
            start_unix_ns=UNIX + start,
            end_unix_ns=UNIX + end,
            **self.more,
        )

    def reset(self) -> None:
        tell_totals(self._totals)
        self.epoch += 1
        self.begins += len(self.ticks)
        self.ticks, self.waits, self.more = [], [], {}


STEPS = st.lists(st.tuples(ticks_lists, waits_lists, st.sampled_from(["read", "reset", "go on"])))


@given(STEPS)
def test_they_are_what_one_epoch_would_have_counted(steps: list[Any]) -> None:
    meter, whole = Scripted(), Scripted()
    totals = Totals(meter)
    held = 0.0
    for ticks, waits, then in steps:
        for one in (meter, whole):
            one.ticks += ticks
            one.waits += waits
        if then == "reset":
            meter.reset()
        if then == "read":
            total = totals.snapshot()
            assert held <= (held := totals.held_seconds(total))
    total, expected = totals.snapshot(), whole.snapshot()
    for name in ("knocks", "ticks", "ticks_held", "ticks_disabled", "observed_ns", "wait_total_ns"):
        assert getattr(total, name) == getattr(expected, name)
    assert total.histogram == expected.histogram
    assert total.wait_max_ns == expected.wait_max_ns
    assert total.held_fraction == pytest.approx(expected.held_fraction, nan_ok=True)


@given(STEPS)
def test_they_can_be_subtracted_across_resets(steps: list[Any]) -> None:
    meter = Scripted()
    totals = Totals(meter)
    meter.ticks, meter.waits = ["held", "free"], [1000]
    before = totals.snapshot()
    counted = 0
    for ticks, waits, then in steps:
        meter.ticks += ticks
        meter.waits += waits
        counted += len(waits)
        if then == "reset":
            meter.reset()
    assert (totals.snapshot() - before).knocks == counted


def test_a_forked_child_begins_at_zero() -> None:
    meter = Scripted()
    totals = Totals(meter)
    meter.ticks = ["held"] * 5
    total = totals.snapshot()
    assert totals.held_seconds(total) == pytest.approx(0.005)
    meter.pid, meter.ticks = 43, ["held"]
    total = totals.snapshot()
    assert total.ticks == 1
    assert totals.held_seconds(total) == pytest.approx(0.001)


def test_held_seconds_do_not_fall_back() -> None:
    meter = Scripted()
    totals = Totals(meter)
    meter.ticks = ["held", "free"]
    high = totals.held_seconds(totals.snapshot())
    meter.ticks = ["disabled"] * 2
    assert totals.held_seconds(totals.snapshot()) == high


METERS = [
    pytest.param(KnockKnock, "reset_contention_metric", id="KnockKnock"),
    pytest.param(lambda: GilTracer(0), "reset", id="GilTracer", marks=needs_tracer),
]


@pytest.mark.parametrize(("make", "reset"), METERS)
def test_resets_by_others_lose_nothing(make: Any, reset: str) -> None:
    """Two threads reset a real meter all the time, and two read."""
    stop = threading.Event()
    begun = time.monotonic()
    with make() as meter:
        totals = Totals(meter)

        def resets() -> None:
            while not stop.wait(0.002):
                getattr(meter, reset)()

        seen: list[list[Snapshot]] = [[], []]

        def reads(into: list[Snapshot]) -> None:
            while not stop.wait(0.001):
                into.append(totals.snapshot())

        threads = [threading.Thread(target=resets) for _ in range(2)]
        threads += [threading.Thread(target=reads, args=(into,)) for into in seen]
        for thread in threads:
            thread.start()
        with GilLoad(0.001, 0.001):
            time.sleep(1.5)
        stop.set()
        for thread in threads:
            thread.join()
        total = totals.snapshot()
        seconds = time.monotonic() - begun
    for into in seen:
        for earlier, later in pairwise(into):
            assert (later - earlier).observed_ns >= 0  # and no count has fallen
    # Each reset may lose what comes between the last reading and itself: half of the time where
    # all four wait for the GIL for longer than they rest, and read as often as they reset.
    assert 0.2 * seconds < total.observed_seconds <= seconds + 0.1


def test_a_meter_keeps_no_total_alive() -> None:
    knocker = KnockKnock()
    for _ in range(3):
        Totals(knocker)
    kept = Totals(knocker)
    assert [reference() for reference in knocker._totals] == [kept]
    knocker.reset_contention_metric()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_the_meter_of_a_forked_child() -> None:
    with KnockKnock() as knocker:
        totals = Totals(knocker)
        time.sleep(0.05)
        assert totals.snapshot().observed_ns
        child = os.fork()
        if not child:
            os._exit(0 if totals.snapshot().observed_ns == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_and_stacks_of_all_epochs_are_kept_in_constant_memory() -> None:
    meter = Scripted()
    totals = Totals(meter)
    for epoch in range(30):
        # One thread is always there, twenty are new, and hold it for longer than those before: so
        # that theirs are kept apart, and those of others no longer.
        new = epoch + 1
        meter.ticks = ["held"] * (50 + 20 * new)
        others = ((2 + n, 20 * epoch + n + 2, "t", new) for n in range(20))
        stacks = (((("f", "f.py", 150 * epoch + n),), "t", 2 * new, new, 0, 0) for n in range(150))
        meter.more = {
            "holders": ((1, 1, "busy", 50), *others),
            "stacks": (*stacks, ((("busy", "b.py", 1),), "busy", 900, 0, 900, 0)),
        }
        if epoch == 19:
            middle = totals.snapshot()
        meter.reset()
    last = totals.snapshot()
    window = last - middle
    for total, epochs, news in (
        (middle, 20, range(1, 21)),
        (last, 30, range(1, 31)),
        # What was put together in between is no news.
        (window, 10, range(21, 31)),
    ):
        names: dict[str, int] = {}
        for _, _, name, held in total._holders:
            names[name] = names.get(name, 0) + held
        assert names["busy"] == 50 * epochs
        assert sum(names.values()) == 50 * epochs + 20 * sum(news)
        assert len(total._holders) <= 257 + 20
        found = total._stacks or ()
        assert sum(one[2] for one in found) == 900 * epochs + 300 * sum(news)
        assert sum(one[3] for one in found) == 150 * sum(news)
        assert len(found) <= 2048 + 152
