"""LoopWatch: what a late tick is said to be due to, by given holds, waits and looks."""

from __future__ import annotations

import sys
import threading
from types import CodeType, SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from needs import needs_tracer

from gilknocker import GilTracer
from gilknocker.integrations import asyncio as loop_asyncio
from gilknocker.integrations import loop_frames
from gilknocker.integrations.asyncio import Late, LoopWatch

pytestmark = needs_tracer

LOOP, LOOKER, OTHER = 1, 2, 3
BEGIN = loop_asyncio._Noted(0, 0, 0, 0)


def explained(
    watch: LoopWatch,
    events: Any,
    noted: loop_asyncio._Noted,
    looks: loop_frames.Looks | None = None,
    caller: CodeType | None = None,
) -> Late:
    """Return what a watch says of a tick that was due at 0, by these events and looks."""
    threads = [SimpleNamespace(serial=n, native_id=n, name=str(n)) for n in (LOOP, LOOKER, OTHER)]
    told: Any = SimpleNamespace(events=lambda: events, threads=lambda: threads)
    looker: Any = SimpleNamespace(native_id=LOOKER)
    watch._tracer, watch._native_id, watch._noted, watch._looking = told, LOOP, BEGIN, looker
    watch._explain(0, noted, loop_frames.Looks() if looks is None else looks, caller)
    (late,) = watch.late
    return late


@pytest.mark.parametrize(
    ("holds", "waits", "ran", "parts"),
    [
        # Stopped while it held the GIL between two callbacks: nothing it runs there takes so long.
        pytest.param([(LOOP, 0, 90)], [], 1, (1, 0, 99), id="stopped holding"),
        pytest.param([(LOOP, 0, 90)], [], 90, (90, 0, 10), id="ran"),
        # Stopped while a look of ours held it, and the loop waited for that.
        pytest.param([(LOOKER, 0, 90)], [(LOOP, 0, 90)], 0, (0, 0, 100), id="stopped looking"),
        pytest.param([], [(LOOP, 0, 90)], 0, (0, 0, 100), id="stopped when it was free again"),
        pytest.param([(OTHER, 0, 90)], [(LOOP, 0, 90)], 0, (0, 90, 10), id="another"),
        pytest.param(
            [(OTHER, n, n + 3) for n in range(0, 90, 5)],
            [(LOOP, 0, 90)],
            0,
            (0, 90, 10),
            id="many short holds of another",
        ),
    ],
)
def test_the_machine_stops_a_loop_that_is_in_no_callback(
    holds: list[tuple[int, int, int]],
    waits: list[tuple[int, int, int]],
    ran: int,
    parts: tuple[float, float, float],
) -> None:
    watch = LoopWatch()
    events = np.zeros(len(holds) + len(waits), watch._tracer.events().dtype)
    for event, (thread, start, end) in zip(events, holds + waits, strict=True):
        event["thread"], event["start"], event["end"] = thread, start * 10**6, end * 10**6
    events["kind"][: len(holds)] = GilTracer.HOLD
    events["kind"][len(holds) :] = GilTracer.WAIT
    held = sum(end - start for thread, start, end in holds if thread == LOOP)
    late = explained(watch, events, loop_asyncio._Noted(100 * 10**6, held * 10**6, 0, ran * 10**6))
    assert [late.own_seconds, late.gil_seconds, late.machine_seconds] == pytest.approx(
        [part / 1000 for part in parts]
    )
    assert late.holder == (str(OTHER) if parts[1] else None)


def test_a_tick_of_more_holds_and_waits_than_are_kept() -> None:
    watch = LoopWatch()
    kept = loop_asyncio._EVENTS
    events = np.zeros(kept, watch._tracer.events().dtype)
    events["start"] = 60_000_000 + 600 * np.arange(kept)  # what was before is no longer there
    events["end"] = events["start"] + 600
    events["kind"][0::2], events["kind"][1::2] = GilTracer.HOLD, GilTracer.WAIT
    events["thread"] = LOOP  # each second wait of the loop is for a hold of another
    events["thread"][2::4] = OTHER
    events["start"][3::4] -= 600
    noted = loop_asyncio._Noted(100_000_000, 30_000_000, 70_000_000, 30_000_000)
    late = explained(watch, events, noted)
    assert (late.own_seconds, late.gil_seconds) == pytest.approx((0.03, 0.07))
    assert late.holder == str(OTHER)


@pytest.mark.parametrize(
    ("in_the_tick", "unseen", "held", "parts"),
    [
        pytest.param(False, 0, 0, (100, 0, 0), id="blocks without the GIL"),
        pytest.param(False, 0, 60, (100, 0, 0), id="holds it, asleep"),
        # Stopped, and when it goes on the first look finds a short callback.
        pytest.param(False, 90, 0, (10, 0, 90), id="short, after a stop"),
        pytest.param(False, 90, 60, (10, 0, 90), id="stopped holding"),
        pytest.param(False, 900, 60, (0, 0, 100), id="not looked at since before it was late"),
        pytest.param(True, 0, 0, (0, 0, 100), id="our own"),
        pytest.param(True, 0, 60, (0, 0, 100), id="our own, stopped holding"),
    ],
)
def test_a_callback_counts_from_when_it_may_have_been_seen(
    in_the_tick: bool, unseen: int, held: int, parts: tuple[float, float, float]
) -> None:
    looks = loop_frames.Looks()

    def look() -> None:
        looks.add(threading.get_ident(), unseen * 10**6)

    class Seen(LoopWatch):
        def _what_it_had(self) -> loop_asyncio._Noted:
            look()
            return BEGIN

    watch = Seen()
    if in_the_tick:
        watch._due_ns, watch._looks = 0, looks
        watch._tick()
    else:
        look()
    events = np.zeros(0, watch._tracer.events().dtype)
    noted = loop_asyncio._Noted(100 * 10**6, held * 10**6, 0, 0)
    late = explained(watch, events, noted, looks, sys._getframe().f_code)
    assert [late.own_seconds, late.gil_seconds, late.machine_seconds] == pytest.approx(
        [part / 1000 for part in parts]
    )
    assert bool(late.callback) == (parts[0] > 0)


def test_looks_at_a_callback_that_blocks_for_long_are_few_and_even(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Numbered:
        def __init__(self, frames: object, loop: int) -> None:
            self.number = next(numbers)

    monkeypatch.setattr(loop_frames, "Look", Numbered)
    looks = loop_frames.Looks()
    for turn in range(100_000):
        numbers = iter([turn])
        looks.add(0, 0)
        assert len(looks.kept) < loop_frames.MOST_LOOKS
    kept = [look.number for look in cast("list[Numbered]", looks.kept)]
    assert len(kept) >= loop_frames.MOST_LOOKS // 2 - 1
    (step,) = set(np.diff(kept))
    assert kept[0] == 0
    assert kept[-1] > 100_000 - 2 * step
