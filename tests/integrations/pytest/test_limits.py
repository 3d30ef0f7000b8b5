"""When a test has exceeded a limit, and what is said then."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import MS, held_by, packed, tell

from gilknocker import Snapshot, WaitHistogram
from gilknocker.integrations.pytest.bars import bars
from gilknocker.integrations.pytest.limits import Limit, judge, too_short
from gilknocker.integrations.pytest.meter import Reading
from gilknocker.meters.tracer import LongHold
from gilknocker.snapshot.fields import FIELDS
from gilknocker.snapshot.raw_waits import RawWaits, StoredWaits
from gilknocker.snapshot.value import build

HOLD = Limit("limit_gil_hold", ns=50 * MS)
WAIT = Limit("limit_gil_wait", ns=20 * MS, percentile=90)
SHARE = Limit("limit_gil_contention", share=0.5)


def sampled(held: int, free: int, waits: list[int], threads: int = 0, **changes: Any) -> Reading:
    """Return what a sampler says after so many looks of 1 ms, at so many threads by turns."""
    timely = {"ticks_late": 0, "ticks_missed": 0}
    snapshot = tell(["held"] * held + ["free"] * free, waits, **{**timely, **changes})
    if threads:
        snapshot = held_by(snapshot, [(f"T{n}", held // threads) for n in range(threads)])
    times = [snapshot.start_ns + sum(waits[:n]) for n in range(len(waits))]
    return unmixed(with_raw(snapshot, times, waits))


def with_raw(snapshot: Snapshot, times: list[int], waits: list[int]) -> Snapshot:
    raw = RawWaits(StoredWaits.from_lists(0, waits, times))
    return build({name: getattr(snapshot, name) for name in FIELDS}, raw)


def unmixed(snapshot: Snapshot) -> Reading:
    return Reading(snapshot, snapshot, snapshot)


def asked(*spans_ms: tuple[int, int], **changes: Any) -> Snapshot:
    """Return a sampler's snapshot with knocks from when to when, in ms of 200."""
    waits = [(end - start) * MS for start, end in spans_ms]
    times = [start * MS for start, _ in spans_ms]
    timely = {"ticks_late": 0, "ticks_missed": 0}
    changes = {"start_ns": 0, "end_ns": 200 * MS, **timely, **changes}
    return with_raw(tell(["held"] * 200, waits, **changes), times, waits)


def traced(
    longest_ns: int,
    fraction: float = 0.5,
    waits: Snapshot | None = None,
    body_ns: int = 100 * MS,
    knocks: Snapshot | None = None,
    holds_ms: tuple[tuple[int, int], ...] = (),
) -> Reading:
    """Return what a tracer says, with or without knocks beside it."""
    holds = [LongHold(start * MS, end * MS, "MainThread") for start, end in holds_ms]
    times: Any = SimpleNamespace(
        method="trace",
        hold_max_ns=longest_ns,
        hold_histogram=WaitHistogram(packed([longest_ns])),
        held_fraction=fraction,
        held_fraction_interval=(fraction, fraction),
        gil_enabled=True,
        observed_ns=body_ns,
        knocks=0,
        histogram=WaitHistogram(),
        in_flight_ns=0,
        start_ns=0,
        wait_max_ns=0,
        percentile=lambda p: math.nan,
    )
    return Reading(times, waits or times, waits or knocks, times, tuple(holds))


@pytest.mark.parametrize(
    ("limit", "reading", "state"),
    [
        (HOLD, sampled(200, 0, [5 * MS] * 20), "kept"),
        (HOLD, sampled(200, 0, [50 * MS]), "kept"),
        # One thread had it, and waits that end with its holds are about equally long.
        (HOLD, sampled(2000, 0, [50 * MS + 1] * 30, 1), "exceeded"),
        (HOLD, sampled(2000, 0, [50 * MS] * 30, 1), "kept"),
        (
            HOLD,
            sampled(2000, 0, [90 * MS] * 30, 1, ticks_missed=1000),
            "undecided",
        ),  # a busy machine
        (HOLD, sampled(4, 0, [90 * MS] * 30, 1, ticks_missed=5), "exceeded"),  # too few to say so
        # A wait may be over many holds: of several threads, or of one that takes it back.
        (HOLD, sampled(2000, 0, [90 * MS] * 30, 4), "undecided"),
        (HOLD, sampled(2000, 0, [1 * MS, 90 * MS] * 20, 1), "undecided"),
        (HOLD, sampled(200, 0, [90 * MS], 1), "undecided"),
        (HOLD, sampled(200, 0, [], 1, in_flight_ns=60 * MS), "undecided"),
        (HOLD, sampled(2000, 0, [90 * MS] * 30), "undecided"),  # nobody knows by whom
        (HOLD, sampled(200, 0, [5 * MS], ticks_missed=100), "kept"),
        (WAIT, sampled(200, 0, [90 * MS] * 10, ticks_missed=100), "undecided"),
        (HOLD, sampled(50, 0, []), "kept"),  # it did not take longer itself
        (HOLD, sampled(51, 0, []), "undecided"),
        (HOLD, traced(50 * MS), "kept"),
        (HOLD, traced(90 * MS, holds_ms=((5, 95),)), "exceeded"),
        (HOLD, traced(90 * MS, waits=asked((59, 95)), holds_ms=((5, 95),)), "exceeded"),
        (HOLD, traced(90 * MS, knocks=asked((59, 95)), holds_ms=((5, 95),)), "exceeded"),
        (
            HOLD,
            traced(96 * MS, knocks=asked(in_flight_ns=94 * MS), holds_ms=((104, 200),)),
            "exceeded",
        ),
        # It did give the GIL up when it was asked, but for a busy machine that was late.
        (HOLD, traced(90 * MS, waits=asked((89, 94)), holds_ms=((5, 95),)), "undecided"),
        (HOLD, traced(90 * MS, knocks=asked((89, 94)), holds_ms=((5, 95),)), "undecided"),
        (HOLD, traced(1 * MS, waits=asked((5, 95))), "kept"),  # many holds, and none is long
        # Nobody asked during the long one; the long wait was over many others.
        (HOLD, traced(90 * MS, knocks=asked((5, 105)), holds_ms=((100, 190),)), "undecided"),
        (HOLD, traced(90 * MS, knocks=asked((5, 99)), holds_ms=((4, 94), (94, 99))), "exceeded"),
        (WAIT, sampled(200, 0, [21 * MS] * 10), "exceeded"),
        (WAIT, sampled(200, 0, [1 * MS] * 90 + [90 * MS]), "kept"),  # 7 of 99 instants
        (WAIT, sampled(200, 0, [1 * MS] * 9 + [90 * MS]), "exceeded"),  # 7 of 18
        (WAIT, sampled(200, 0, [1 * MS] * 9 + [30 * MS]), "kept"),  # 1 of 12
        (WAIT, sampled(200, 0, [9 * MS] * 9), "undecided"),
        (WAIT, unmixed(asked((3, 97))), "exceeded"),  # one call of 96 ms, and one knock of 94
        (WAIT, unmixed(asked(in_flight_ns=94 * MS)), "exceeded"),
        (WAIT, unmixed(asked((3, 33))), "undecided"),
        (WAIT, sampled(20, 0, []), "kept"),
        (WAIT, traced(90 * MS), "kept"),  # nobody waited
        (WAIT, traced(1, waits=sampled(0, 99, [21 * MS] * 10).waits), "exceeded"),
        (SHARE, sampled(100, 0, []), "exceeded"),
        (SHARE, sampled(55, 45, []), "kept"),  # the interval has 50 % in it
        (SHARE, sampled(10, 0, []), "exceeded"),  # few looks, but all of them
        (SHARE, sampled(6, 4, []), "undecided"),
        (SHARE, sampled(0, 20, []), "kept"),
        (SHARE, sampled(0, 0, []), "undecided"),
        (SHARE, traced(1, 0.51), "exceeded"),
        (SHARE, traced(1, 0.5), "kept"),
        (SHARE, traced(1, 0.9, body_ns=10 * MS - 1), "undecided"),
        (SHARE, traced(1, 0.4, body_ns=1), "kept"),
    ],
)
def test_verdicts(limit: Limit, reading: Reading, state: str) -> None:
    verdict = judge(limit, reading)
    assert verdict.state == state
    assert bool(verdict.message) == (state != "kept")


def test_waits_that_are_not_all_known_are_not_judged() -> None:
    known = traced(1 * MS)
    assert judge(WAIT, known).state == "kept"
    lost = judge(WAIT, replace(known, has_lost_waits=True))
    assert lost.state == "undecided"
    assert lost.message.startswith("limit_gil_wait: there were more than 16,384 threads")
    # Those of knocks are.
    knocks = replace(traced(1, waits=sampled(0, 99, [21 * MS] * 10).waits), has_lost_waits=True)
    assert judge(WAIT, knocks).state == "exceeded"


@pytest.mark.parametrize("limit", [HOLD, WAIT, SHARE])
def test_no_gil_keeps_to_any_limit(limit: Limit) -> None:
    snapshot = tell(["disabled"] * 200, [90 * MS] * 20)
    assert judge(limit, Reading(snapshot, snapshot, snapshot)).state == "kept"


def test_messages() -> None:
    hold = judge(HOLD, sampled(2000, 0, [3_000, 4_000] + 20 * [90 * MS, 160 * MS], 1)).message
    assert hold.splitlines() == [
        "limit_gil_hold: the GIL was held for about 160 ms without a release; the limit is 50 ms",
        "  estimated from the longest wait of 42 knocks, 10 ms apart: one thread had it, and waits "
        "that end with its holds are about equally long, as these are; the hold had begun before "
        "the knock",
        "  waits of knocks:",
        "    <  10 µs   2  ####",
        "    < 100 µs   0",
        "    <   1 ms   0",
        "    <  10 ms   0",
        "    < 100 ms  20  ########################################",
        "    <    1 s  20  ########################################",
    ]
    untold = judge(HOLD, sampled(200, 0, [3_000, 160 * MS], 1)).message
    assert untold == (
        "limit_gil_hold: a knock waited 160 ms for the GIL, and without a tracer nobody can tell "
        "whether that was one hold or many: threads may have queued for it, or one may have taken "
        "it back before others were awake"
    )
    exact = judge(HOLD, traced(160 * MS, holds_ms=((5, 165),))).message.splitlines()
    assert exact[0] == (
        "limit_gil_hold: the GIL was held for 160 ms without a release; the limit is 50 ms"
    )
    assert exact[1:4] == [
        "  by MainThread, from 5.00 ms to 165 ms after the begin",
        "  every hold was traced: exact",
        "  holds:",
    ]
    wait = judge(WAIT, sampled(200, 0, [15 * MS] * 5 + [90 * MS] * 5)).message.splitlines()
    assert wait[:2] == [
        "limit_gil_wait: a thread that wanted the GIL waited 90.0 ms for it (p90 of the waits); "
        "the limit is 20 ms",
        "  of 10 waits of knocks, 5 were longer than the limit, the longest 90.0 ms",
    ]
    share = judge(SHARE, sampled(180, 20, [])).message.splitlines()
    assert share == [
        "limit_gil_contention: the GIL was held 90.0 % of the time; the limit is 50.0 %",
        "  85.1 to 93.4 %, 95 % confidence; of 200 ms",
    ]
    few = judge(SHARE, sampled(1, 0, [])).message
    assert few == "limit_gil_contention: 1 look at the GIL, at least 40 are needed"


@given(st.lists(st.integers(0, 10**12), max_size=50))
def test_bars_count_every_wait(waits: list[int]) -> None:
    rows = [row.split() for row in bars(WaitHistogram(packed(waits)))]
    assert sum(int(row[3]) for row in rows) == len(waits)
    assert all(row[4:] == [] or set(row[4]) == {"#"} for row in rows)
    assert len(rows) <= 13
    if waits:
        assert max(len(row[4]) for row in rows if row[4:]) == 40


def test_limits_that_pure_python_exceeds() -> None:
    switch_ns = round(sys.getswitchinterval() * 1e9)
    assert "less than twice sys.getswitchinterval()" in too_short(
        Limit("limit_gil_wait", ns=2 * switch_ns - 1)
    )
    assert not too_short(Limit("limit_gil_hold", ns=2 * switch_ns))
    assert not too_short(SHARE)
