"""The words of the report that `gilknocker run` prints."""
# ruff: noqa: E501 (output as it is printed)

from __future__ import annotations

from typing import Any

import pytest
from stories import MS, counted, tell

from gilknocker.reports import words

HELD = ["held"] * 95 + ["free"] * 5
HALF = ["held", "free"] * 50
IDLE = ["held"] + ["free"] * 99
CALM = {"ticks_late": 0, "ticks_missed": 0}


def interpretation(ticks: list[str], waits: list[int], **changes: Any) -> str:
    return words.interpretation(tell(ticks, waits, **(CALM | changes)))


@pytest.mark.parametrize(
    ("ticks", "waits", "changes", "words"),
    [
        (["disabled"] * 100, [1000] * 20, {}, "There was no GIL"),
        ([], [], {"gil_enabled_now": False}, "There was no GIL"),
        ([], [], {}, "Too short to say"),
        (["held"] * 39, [5 * MS] * 20, {}, "Too short to say how busy the GIL was: 39 looks"),
        (["disabled"] * 500 + ["held"] * 39, [1000] * 20, {}, "Too short to say"),
        (IDLE, [1000] * 20, {}, "free most of the time: waiting for it is not"),
        (IDLE, [1000] * 20 + [99 * MS], {}, "free most of the time: waiting for it is not"),
        (IDLE, [1000] * 20 + [100 * MS], {}, "free most of the time, but not always soon"),
        (IDLE, [], {"in_flight_ns": 200 * MS}, "up to 200 ms (one was not over after 200 ms)"),
        (HELD, [5 * MS] * 9, {}, "9 knocks: too few"),
        (HELD, [5 * MS], {}, "1 knock: too few"),
        (HELD, [], {"in_flight_ns": 900 * MS}, "would have waited up to 900 ms"),
        (HELD, [5 * MS] * 20, {}, "one thread at a time that runs Python code"),
        (HALF, [4 * MS] * 20, {}, "one thread at a time that runs Python code"),
        (HELD, [1 * MS] * 20, {"switch_interval_ns": MS}, "only after 1.0 ms"),
        (HELD, [15 * MS] * 20, {}, "threads that queue up for it; code that keeps it"),
        (HELD, [40 * MS] * 20 + [200 * MS], {}, "half of the waits took 40 ms or more"),
        (HELD, [300 * MS] * 20, {}, "20 of 20 waits took 100 ms or more"),
        (HELD, [5 * MS] * 20 + [300 * MS], {}, "would have waited up to 300 ms"),
        (HELD, [5 * MS] * 20 + [300 * MS], {"ticks_missed": 50}, "a machine too busy"),
        (HELD, [10_000] * 20, {}, "handed over quickly: 90 % of the waits took at most 10 µs"),
        (HELD, [10_000] * 20, {}, "hardly room for more threads"),
        (HALF, [10_000] * 20, {}, "There is room for more threads."),
        (
            HALF,
            [10_000] * 15 + [4 * MS] * 5,
            {},
            "waits differ: half took at most 10 µs, one in ten more than 4.0 ms.",
        ),
    ],
)
def test_interpretation(
    ticks: list[str], waits: list[int], changes: dict[str, Any], words: str
) -> None:
    assert words in interpretation(ticks, waits, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "knock"}, "estimated from the waits"),
        ({"ticks_late": 11, "ticks_missed": 0}, "11.0 % of the looks came late or not at all"),
        ({"ticks_late": 0, "ticks_missed": 25}, "20.0 % of the looks came late or not at all"),
        ({"in_flight_ns": 20 * MS}, "one knock had waited for 20 ms at the end"),
    ],
)
def test_caveats(changes: dict[str, Any], said: str) -> None:
    waits = [5 * MS] * 100
    assert words.caveats(tell(HELD, waits, **CALM)) == []
    [caveat] = words.caveats(tell(HELD, waits, **(CALM | changes)))
    assert said in caveat


def test_caveats_of_counts() -> None:
    assert words.caveats(tell(HELD, [MS] * 99, **CALM)) == ["of 99 waits the p99 is the longest."]
    [caveat] = words.caveats(tell([*HELD, "disabled"], [MS] * 100, **CALM))
    assert "switched off part of the time" in caveat


def test_no_caveat_on_late_looks_where_nothing_is_concluded() -> None:
    assert words.caveats(tell(["held"] * 10, [])) == []


def test_text() -> None:
    snapshot = tell(HELD, [4 * MS] * 60 + [6 * MS] * 40, ticks_late=3, ticks_missed=0, cpu_ns=MS)
    text = words.text(snapshot, program=["a.py", "x\ny", "\u2713"], exit_status=1)
    assert text == (
        "gilknocker: 100 ms of a.py x y \u2713 (exit status 1)\n"
        "  GIL held  95.0 % of the time (88.8 to 97.8, 95 % confidence)\n"
        "  waits     p50 4.0 ms, p90 6.0 ms, p99 6.0 ms, max 6.0 ms; 480 ms in all, of 100 knocks\n"
        "  looks     100, every 1.0 ms, 3 late, 0 missed; method look\n"
        "  own cost  1.0 % of one core\n"
        "  The GIL was held 95.0 % of the time, as it is where one thread at a time that runs Python code\n"
        "  keeps it, and gives it up only after 5.0 ms, when another asks: each thread more waits for\n"
        "  that. Processes would not, nor code that releases the GIL.\n"
    )


def test_text_of_what_was_counted() -> None:
    looked = tell(HELD, [4 * MS] * 60 + [6 * MS] * 40, ticks_late=3, ticks_missed=0, cpu_ns=MS)
    lines = words.text(counted(looked)).splitlines()
    assert lines[1] == "  GIL held  95.0 % of the time, exactly"
    assert lines[3] == "  counted   all of the time, timed by tsc; method count"
    partly = words.text(counted(looked, counted_ns=25 * MS, ticks=100, ticks_held=95)).splitlines()
    assert partly[1].endswith(" of the time (90.4 to 97.1, 95 % confidence)")
    assert partly[3] == (
        "  counted   25.0 % of the time, timed by tsc; "
        "looks 100, every 1.0 ms, 0 late, 0 missed; method count"
    )
    with_stacks = counted(looked, ticks=100, ticks_held=95, ticks_missed=50)
    [caveat] = words.caveats(with_stacks)
    assert caveat.endswith(": by which lines it was held is less sure.")


def test_text_without_anything() -> None:
    lines = words.text(tell([], [], interval_ns=MS)).splitlines()
    assert lines[0] == "gilknocker: 0 ns"
    assert lines[1:5] == [
        "  GIL held  unknown: no looks",
        "  waits     unknown: no knock was answered",
        "  looks     0, every 1.0 ms, 0 late, 0 missed; method look",
        "  own cost  unknown: nothing observed",
    ]
    assert "never: there was none" in words.text(tell(["disabled"] * 50, []))


def test_text_of_a_merge_and_of_a_difference() -> None:
    merge = tell(HELD, [MS], interval_ns=MS) + tell(HELD, [MS], interval_ns=2 * MS, sampler_id=2)
    assert "  looks     200, 66 late" in words.text(merge)
    window = tell(HELD, [MS, 5 * MS, 3 * MS]) - tell(HELD[:50], [MS, 5 * MS])
    assert "max <= 3.0 ms" in words.text(window)


def test_long_commands_are_cut() -> None:
    first = words.text(tell(HELD, []), program=["-c", "x" * 100]).splitlines()[0]
    assert first == f"gilknocker: 100 ms of -c {'x' * 54}..."
