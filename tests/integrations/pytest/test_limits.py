"""When a test has exceeded a limit, and what is said then."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import MS, packed, tell

from gilknocker import Snapshot, WaitHistogram
from gilknocker.integrations.pytest.bars import bars
from gilknocker.integrations.pytest.limits import Limit, judge, too_short
from gilknocker.integrations.pytest.meter import Meter, Reading

HOLD = Limit("limit_gil_hold", ns=50 * MS)
WAIT = Limit("limit_gil_wait", ns=20 * MS, percentile=90)
SHARE = Limit("limit_gil_contention", share=0.5)


def sampled(held: int, free: int, waits: list[int], **changes: Any) -> Reading:
    """Return what a sampler says after so many looks of 1 ms."""
    timely = {"ticks_late": 0, "ticks_missed": 0}
    snapshot = tell(["held"] * held + ["free"] * free, waits, **{**timely, **changes})
    return Reading(snapshot, snapshot, snapshot)


def traced(
    longest_ns: int,
    fraction: float = 0.5,
    waits: Snapshot | None = None,
    body_ns: int = 100 * MS,
    asked: Snapshot | None = None,
) -> Reading:
    """Return what a tracer says, with or without knocks beside it."""
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
    )
    return Reading(times, waits or times, waits or asked)


@pytest.mark.parametrize(
    ("limit", "reading", "state"),
    [
        (HOLD, sampled(200, 0, [5 * MS] * 20), "kept"),
        (HOLD, sampled(200, 0, [50 * MS]), "kept"),
        (HOLD, sampled(200, 0, [50 * MS + 1]), "exceeded"),
        (HOLD, sampled(200, 0, [], in_flight_ns=60 * MS), "exceeded"),
        (HOLD, sampled(200, 0, [90 * MS], ticks_missed=100), "undecided"),  # a busy machine
        (HOLD, sampled(4, 0, [90 * MS], ticks_missed=5), "exceeded"),  # too few to say so
        (HOLD, sampled(200, 0, [5 * MS], ticks_missed=100), "kept"),
        (WAIT, sampled(200, 0, [90 * MS] * 10, ticks_missed=100), "undecided"),
        (HOLD, sampled(50, 0, []), "kept"),  # it did not take longer itself
        (HOLD, sampled(51, 0, []), "undecided"),
        (HOLD, traced(50 * MS), "kept"),
        (HOLD, traced(50 * MS + 1), "exceeded"),
        (HOLD, traced(90 * MS, waits=tell([], [36 * MS])), "exceeded"),
        (HOLD, traced(90 * MS, asked=tell([], [36 * MS])), "exceeded"),
        (HOLD, traced(90 * MS, asked=tell([], [], in_flight_ns=36 * MS)), "exceeded"),
        # It did give the GIL up when it was asked, but for a busy machine that was late.
        (HOLD, traced(90 * MS, waits=tell([], [5 * MS] * 9)), "undecided"),
        (HOLD, traced(90 * MS, asked=tell([], [5 * MS] * 9)), "undecided"),
        (HOLD, traced(1 * MS, waits=tell([], [90 * MS])), "kept"),  # a queue, and no hold
        (WAIT, sampled(200, 0, [21 * MS] * 10), "exceeded"),
        (WAIT, sampled(200, 0, [1 * MS] * 9 + [90 * MS]), "kept"),
        (WAIT, sampled(200, 0, [1 * MS] * 8 + [90 * MS] * 2), "exceeded"),
        (WAIT, sampled(200, 0, [90 * MS] * 9), "undecided"),
        (WAIT, sampled(200, 0, [90 * MS], knocks_missed=9), "exceeded"),
        (WAIT, sampled(200, 0, [], knocks_missed=10, in_flight_ns=90 * MS), "exceeded"),
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


@pytest.mark.parametrize("limit", [HOLD, WAIT, SHARE])
def test_no_gil_keeps_to_any_limit(limit: Limit) -> None:
    snapshot = tell(["disabled"] * 200, [90 * MS] * 20)
    assert judge(limit, Reading(snapshot, snapshot, snapshot)).state == "kept"


def test_messages() -> None:
    hold = judge(HOLD, sampled(200, 0, [3_000, 4_000, 60 * MS, 160 * MS])).message
    assert hold.splitlines() == [
        "limit_gil_hold: the GIL was held for about 160 ms without a release; the limit is 50 ms",
        "  estimated from the longest wait of 4 knocks, 10 ms apart: the hold had begun before the "
        "knock, and a queue of threads makes waits longer",
        "  waits of knocks:",
        "    <  10 µs  2  ########################################",
        "    < 100 µs  0",
        "    <   1 ms  0",
        "    <  10 ms  0",
        "    < 100 ms  1  ####################",
        "    <    1 s  1  ####################",
    ]
    exact = judge(HOLD, traced(160 * MS)).message.splitlines()
    assert exact[0] == (
        "limit_gil_hold: the GIL was held for 160 ms without a release; the limit is 50 ms"
    )
    assert exact[1:3] == ["  every hold was traced: exact", "  holds:"]
    wait = judge(WAIT, sampled(200, 0, [15 * MS] * 5 + [90 * MS] * 5)).message.splitlines()
    assert wait[:2] == [
        "limit_gil_wait: a thread that wanted the GIL waited 89.7 ms for it (p90 of the waits); "
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


class Knocker:
    """One whose knock is under way for a while; remembers when it was asked to forget."""

    def __init__(self, readings_under_way: int) -> None:
        self.left = readings_under_way
        self.left_at_reset: int | None = None
        self.is_running = True

    def snapshot(self) -> Snapshot:
        self.left -= 1
        return tell([], [], in_flight_ns=5 if self.left >= 0 else 0)

    def reset_contention_metric(self) -> None:
        self.left_at_reset = self.left


@pytest.mark.parametrize(("under_way", "left"), [(0, -1), (3, -1), (1000, 979)])
def test_a_knock_of_before_the_body_is_not_its(under_way: int, left: int) -> None:
    meter = Meter("knock", 1000, 10_000, asks=False)
    knocker: Any = Knocker(under_way)
    meter._knocker = knocker
    meter.begin()
    assert knocker.left_at_reset == left
    knocker.left = under_way
    assert meter.end().waits.in_flight_ns == (0 if left < 0 else 5)


def test_limits_that_pure_python_exceeds() -> None:
    switch_ns = round(sys.getswitchinterval() * 1e9)
    assert "less than twice sys.getswitchinterval()" in too_short(
        Limit("limit_gil_wait", ns=2 * switch_ns - 1)
    )
    assert not too_short(Limit("limit_gil_hold", ns=2 * switch_ns))
    assert not too_short(SHARE)
