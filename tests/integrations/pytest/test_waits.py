"""What knocks say of the waits at all instants, held against what is true of a made-up program."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import MS, tell

from gilknocker.integrations.pytest.waits import Waits
from gilknocker.snapshot.fields import FIELDS
from gilknocker.snapshot.raw_waits import RawWaits, StoredWaits
from gilknocker.snapshot.value import build

SECOND = 1_000 * MS


def one_long_hold(at: int) -> int:
    """Return the wait of who asks: until 300 ms, then nothing."""
    return max(300 * MS - at, 0)


def rare_long_holds(at: int) -> int:
    """Return it where the GIL is held for the first 40 of every 200 ms."""
    return max(40 * MS - at % (200 * MS), 0)


def python_code(at: int) -> int:
    """Return it where one thread is made to give it up after 5 ms."""
    return 5 * MS


def queue(at: int) -> int:
    """Return it where three threads wait as well."""
    return 15 * MS


def idle(at: int) -> int:
    """Return it where nobody holds it."""
    return 0


def knocked(wait: Callable[[int], int], interval: int, until: int = SECOND) -> Waits:
    """Knock at every interval, but not while one waits."""
    spans: list[tuple[int, int]] = []
    for at in range(0, until, interval):
        if not spans or at >= spans[-1][1]:
            spans.append((at, at + wait(at)))
    return Waits(tuple(spans), interval)


def true_percentile(wait: Callable[[int], int], p: float) -> float:
    waits = sorted(wait(at) for at in range(0, SECOND, MS // 20))
    return waits[max(math.ceil(p / 100 * len(waits)) - 1, 0)]


@pytest.mark.parametrize("program", [one_long_hold, rare_long_holds, python_code, queue, idle])
@pytest.mark.parametrize("interval_ms", [1, 2, 5, 10])
@pytest.mark.parametrize("p", [50, 75, 90, 99])
def test_as_if_one_had_asked_at_any_instant(
    program: Callable[[int], int], interval_ms: int, p: float
) -> None:
    found = knocked(program, interval_ms * MS).percentile(p)
    truth = true_percentile(program, p)
    # Of instants some ms apart nobody knows more.
    steps = [true_percentile(program, p + change) for change in (-1, 1)]
    assert min(steps) - interval_ms * MS <= found <= max(steps) + interval_ms * MS, truth


def test_uncorrected_they_would_be_wrong() -> None:
    sparse = knocked(one_long_hold, 2 * MS)
    assert sparse.exceeding(100 * MS) == 1  # of 351: less than 1 %
    assert len(sparse.spans) == 351
    assert sparse.percentile(80) == pytest.approx(100 * MS, abs=4 * MS)


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), max_size=20),
    st.integers(10**5, 10**7),
    st.floats(0.1, 100),
)
def test_counts_and_bounds(pairs: list[tuple[int, int]], interval: int, p: float) -> None:
    at, spans = 0, []
    for pause, wait in pairs:
        spans.append((at + pause, at + pause + wait))
        at = spans[-1][1]
    waits = Waits(tuple(spans), interval)
    durations = [end - start for start, end in spans]
    assert waits.instants == sum(max(-(-wait // interval), 1) for wait in durations)
    assert waits.longest_ns == max(durations, default=0)
    figure = waits.percentile(p)
    if spans:
        assert 0 <= figure <= waits.longest_ns
        assert waits.percentile(100) == waits.longest_ns
    else:
        assert math.isnan(figure)
    assert waits.within(0, at) == waits.longest_ns
    assert waits.within(at + 1, at + 2) == 0


def test_what_lies_outside_the_body_is_cut_off() -> None:
    snapshot = tell([], [], start_ns=100 * MS, end_ns=200 * MS, in_flight_ns=30 * MS)
    raw = RawWaits(StoredWaits.from_lists(0, [90 * MS, 50 * MS, 7 * MS], [0, 60 * MS, 150 * MS]))
    found = Waits.of(build({name: getattr(snapshot, name) for name in FIELDS}, raw))
    assert found.spans == (
        (100 * MS, 110 * MS),  # asked in the set-up
        (150 * MS, 157 * MS),
        (170 * MS, 200 * MS),  # in flight
    )
    assert found.interval_ns == 10 * MS
    # All of it in flight, and since before the body.
    snapshot = tell([], [], start_ns=100 * MS, end_ns=200 * MS, in_flight_ns=300 * MS)
    assert Waits.of(snapshot).spans == ((100 * MS, 200 * MS),)
    # One that has just asked may be answered at once.
    snapshot = tell([], [], start_ns=100 * MS, end_ns=200 * MS, in_flight_ns=9 * MS)
    assert Waits.of(snapshot).spans == ()
