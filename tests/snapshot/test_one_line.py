"""A snapshot's one line, and its units."""

from __future__ import annotations

import pytest
from stories import (
    MS,
    counted,
    tell,
)

from gilknocker._units import format_ns


def test_it_is_one_line_that_a_person_reads() -> None:
    second = 10**9
    waits = [4_900_000] * 197 + [5_100_000] * 2 + [9_800_000]
    snapshot = tell(
        [],
        waits,
        ticks=2000,
        ticks_held=1746,
        ticks_late=3,
        ticks_missed=0,
        observed_ns=2 * second,
    )
    assert repr(snapshot) == (
        "<Snapshot held 87.3 % (85.8-88.7) over 2.00 s, 2000 ticks (3 late, 0 missed); "
        "200 knocks waited p50 4.9 ms, p99 5.1 ms, max 9.8 ms; method look>"
    )
    assert f"<Snapshot {snapshot}>" == repr(snapshot)


def test_its_line_says_what_is_not_known() -> None:
    assert str(tell([], [])) == (
        "held unknown over 0 ns, 0 ticks (0 late, 0 missed); no knocks answered; method look"
    )
    assert str(tell(["disabled"] * 2, [], method="knock")) == (
        "no GIL over 2.00 ms, 2 ticks (0 late, 0 missed); no knocks answered; method knock"
    )
    assert "(0 late, 0 missed, 1 without a GIL)" in str(tell(["disabled", "held"], []))
    exact = counted(tell(["held", "free"], []))
    assert str(exact) == "held 50.0 % over 2.00 ms; no knocks answered; method count"
    partly = counted(exact, counted_ns=MS, ticks=2, ticks_held=1)
    assert "% (29.7-70.3) over 2.00 ms, 2 ticks" in str(partly)
    assert str(partly).endswith("; method count, 50.0 % of the time")


def test_its_line_mentions_a_block_that_has_no_end_yet() -> None:
    assert "; no knocks answered, one still waiting after 30 ms;" in str(
        tell([], [], in_flight_ns=30 * MS)
    )
    assert "still waiting" not in str(tell([], [500], in_flight_ns=400))


def test_its_line_marks_a_maximum_that_is_only_a_bound() -> None:
    assert "max <= 300 ns" in str(tell([], [300, 300]) - tell([], [300]))


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1000, "1.0 µs"),
        (9_949, "9.9 µs"),
        (10_400, "10 µs"),
        (999_499, "999 µs"),
        (999_501, "1.0 ms"),
        (4_912_000, "4.9 ms"),
        (59_000_000_000, "59 s"),
        (3_600_000_000_000, "3600 s"),
    ],
)
def test_durations_have_the_unit_that_suits_them(ns: int, text: str) -> None:
    assert format_ns(ns) == text
