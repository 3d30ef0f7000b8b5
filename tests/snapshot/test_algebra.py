"""Windows and merges of snapshots, against a naive model that counts each of them anew."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from stories import (
    MS,
    counted,
    held_by,
    merges,
    packed,
    same_number,
    tell,
    ticks_lists,
    times_of,
    traced,
    waits_lists,
)

from gilknocker import Snapshot, WaitHistogram

MAX = 2**63 - 1


def trace_of(ended: list[int], going_on: int) -> Snapshot:
    """Return a trace of holds in ns, one after the other, the last of which has not ended."""
    held = sum(ended) + going_on
    changes = {"hold_max_ns": max([*ended, going_on]), "held_ns": held, "end_ns": held + 1}
    return traced(ended, [], 1, [], **changes, observed_ns=held + 1)


@given(ticks_lists, waits_lists, st.data())
def test_a_difference_is_the_window_counted_directly(
    ticks: list[str], waits: list[int], data: st.DataObject
) -> None:
    m = data.draw(st.integers(0, len(ticks)))
    n = data.draw(st.integers(0, len(waits)))
    later, earlier = tell(ticks, waits, raw=True), tell(ticks[:m], waits[:n])
    window = later - earlier
    direct = tell(ticks[m:], waits[n:], gil_enabled_now=later.gil_enabled)
    for name in ("observed_ns", "ticks", "ticks_held", "ticks_own", "ticks_disabled", "knocks"):
        assert getattr(window, name) == getattr(direct, name)
    for name in ("wait_total_ns", "histogram", "knock_observed_ns"):
        assert getattr(window, name) == getattr(direct, name)
    assert same_number(window.held_fraction, direct.held_fraction)
    assert window.held_fraction_interval == direct.held_fraction_interval
    assert window.held_seconds == pytest.approx(direct.held_seconds, nan_ok=True)
    assert (window.start_ns, window.end_ns) == (earlier.end_ns, later.end_ns)
    kept = waits[n:][-10:]
    assert window.wait_times.tolist() == kept
    assert window.knock_times.tolist() == times_of(waits)[n:][-10:]
    assert window.waits_dropped == len(waits[n:]) - len(kept)


@given(waits_lists, st.data())
def test_the_maximum_of_a_difference_is_flagged_unless_known(
    waits: list[int], data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(waits)))
    window = tell([], waits) - tell([], waits[:n])
    truth = max(waits[n:], default=0)
    if window.wait_max_exact:
        assert window.wait_max_ns == truth
    else:
        assert truth <= window.wait_max_ns <= min(truth * 65 / 64, max(waits))
    assert window.wait_max_exact == (not waits[n:] or truth > max(waits[:n], default=0))


def test_no_more_was_held_in_a_window_than_it_took() -> None:
    """Of looks, what is held by all of them may grow by more, when it has caught up."""
    later = tell(["held"] * 20 + ["free"] * 20, [], held_ns=30 * MS)
    window = later - tell(["held"] * 10 + ["free"] * 20, [], held_ns=10 * MS)
    assert (window.held_ns, window.observed_ns) == (10 * MS, 10 * MS)
    assert window.held_fraction == 1


@given(st.lists(st.integers(1, 10**9), min_size=1), st.data())
def test_the_longest_hold_of_a_window_is_known_or_bounded(
    all_holds: list[int], data: st.DataObject
) -> None:
    """Holds one after the other; the window begins within one of them, and ends within another."""
    n = data.draw(st.integers(0, len(all_holds) - 1))
    cut = data.draw(st.integers(0, all_holds[n] - 1))
    end = data.draw(st.integers(1, all_holds[-1] - cut if n == len(all_holds) - 1 else 1))
    last = cut + end if n == len(all_holds) - 1 else data.draw(st.integers(1, all_holds[-1]))
    earlier = trace_of(all_holds[:n], cut)
    later = trace_of(all_holds[:-1], last)
    truth = max([*all_holds[n:-1], last])
    window = later - earlier
    if window.hold_max_exact:
        assert window.hold_max_ns == truth
    else:
        assert window.hold_max_ns >= truth
        assert window.hold_max_ns <= later.hold_max_ns


@given(ticks_lists, waits_lists, st.data())
def test_windows_can_be_cut_again(ticks: list[str], waits: list[int], data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, 30), min_size=3, max_size=3).map(sorted))
    first, second, third = (tell(ticks[:n], waits[:n], raw=True) for n in cuts)
    assume(first.observed_ns)  # else the windows do not begin at the same instant
    again = (third - first) - (second - first)
    direct = third - second
    assert again.wait_times.tolist() == direct.wait_times.tolist()
    assert (again.start_ns, again.end_ns) == (direct.start_ns, direct.end_ns)
    assert again.histogram == direct.histogram
    if direct.ticks:  # else whether there was a GIL is judged by what came before
        assert same_number(again.held_fraction, direct.held_fraction)


def test_what_belongs_to_the_instant_is_the_later_ones() -> None:
    later = tell(["held"] * 2, [7, 7], in_flight_ns=99, switch_interval_ns=3)
    window = later - tell(["held"], [7], in_flight_ns=55)
    assert window.in_flight_ns == 99
    assert window.switch_interval_ns == 3
    assert window.floor_ns == 7
    assert (window.sampler_id, window.epoch, window.pid) == (1, 0, 42)


def test_the_gil_of_a_window_is_judged_by_its_own_looks() -> None:
    story = ["disabled", "disabled", "held"]
    third, second, first = (tell(story[:n], []) for n in (3, 2, 1))
    assert third.gil_enabled == "mixed"
    assert (third - second).gil_enabled is True
    assert (second - first).gil_enabled is False
    assert (third - third).gil_enabled == "mixed"  # for want of looks


def test_a_snapshot_from_before_the_start_can_be_subtracted() -> None:
    before = tell([], [], start_ns=10, end_ns=10, start_unix_ns=20, end_unix_ns=20)
    later = tell(["held"], [])
    assert later - before == later


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler_id": 2}, "needs two snapshots of the same sampler_id, not 1 and 2"),
        ({"epoch": 3}, "needs two snapshots of the same epoch, not 0 and 3"),
        ({"pid": 43}, "needs two snapshots of the same pid, not 42 and 43"),
        ({"end_ns": 10**12}, "the first snapshot is the earlier one"),
        ({"start_ns": 1}, "begin at the same instant, not at 1000 and 1 ns"),
        ({"ticks_missed": 9}, "ticks_missed would be -9"),
    ],
)
def test_what_has_no_window_between_is_refused(changes: dict[str, Any], message: str) -> None:
    later, earlier = tell(["held"] * 2, [5]), tell(["held"], [], **changes)
    with pytest.raises(ValueError, match=message):
        later - earlier


def test_waits_that_vanished_are_refused() -> None:
    with pytest.raises(ValueError, match="not -1 from 5 to 6 ns"):
        tell(["held"], [7]) - tell([], [5], observed_ns=1)


# a + b


@given(merges, merges, merges)
def test_merging_is_commutative_and_associative(a: Snapshot, b: Snapshot, c: Snapshot) -> None:
    assert a + b == b + a
    left, right = ((a + b) + c).to_dict(), (a + (b + c)).to_dict()
    for key in ("merged", "summary"):
        for name, value in left.pop(key).items():
            assert right[key][name] == pytest.approx(value, nan_ok=True)
        del right[key]
    assert left == right


@given(st.lists(st.tuples(ticks_lists, waits_lists, st.integers(1, 10**12)), min_size=1))
def test_a_merge_is_its_parts_counted_together(
    parts: list[tuple[list[str], list[int], int]],
) -> None:
    told = [tell(t, w, raw=True, interval_ns=i, sampler_id=n) for n, (t, w, i) in enumerate(parts)]
    total = sum(told)
    assert isinstance(total, Snapshot)
    assert total.observed_seconds == pytest.approx(sum(part.observed_seconds for part in told))
    assert total.ticks == sum(len(ticks) for ticks, *_ in parts)
    waits = [wait for _, waits, _ in parts for wait in waits]
    assert total.histogram == WaitHistogram(packed(waits))
    assert total.wait_max_ns == max(waits, default=0)
    assert total.floor_ns == min(waits, default=None)
    assert sorted(total.wait_times.tolist()) == sorted(
        wait for _, waits, _ in parts for wait in waits[-10:]
    )
    assert all(a <= b for a, b in pairwise(total.knock_times.tolist()))
    seconds = [(len(t) - t.count("disabled")) * i / 1e9 for t, _, i in parts]
    held = [t.count("held") * i / 1e9 for t, _, i in parts]
    if sum(seconds):
        assert total.held_fraction is not None
        assert total.held_fraction == pytest.approx(sum(held) / sum(seconds))
        assert total.held_seconds == pytest.approx(sum(held))
        assert total.held_fraction_interval is not None
        low, high = total.held_fraction_interval
        assert 0 <= low <= total.held_fraction <= high <= 1


def test_a_merge_weights_by_time_not_by_ticks() -> None:
    second = 10**9
    dense = tell([], [], ticks=10_000, ticks_held=2_000, observed_ns=second)
    sparse = tell([], [], ticks=900, ticks_held=720, observed_ns=9 * second)
    assert (dense + sparse).held_fraction == pytest.approx(0.74)
    assert (dense + sparse).held_seconds == pytest.approx(7.4)


def test_equal_parts_are_worth_all_their_ticks_and_a_dominant_one_its_own() -> None:
    def width(snapshot: Snapshot) -> float:
        low, high = snapshot.held_fraction_interval or (0, 0)
        return high - low

    part = tell([], [], ticks=500, ticks_held=250, observed_ns=10**9)
    double = tell([], [], ticks=1000, ticks_held=500, observed_ns=2 * 10**9)
    assert width(part + part) == pytest.approx(width(double))
    short = tell([], [], ticks=10**6, ticks_held=5 * 10**5, observed_ns=1)
    assert width(part + short) == pytest.approx(width(part), rel=1e-3)


def test_holders_that_were_counted_and_looked_at_are_merged_by_their_time() -> None:
    looked = held_by(tell(["held"] * 10, []), [("a", 4), ("b", 6)])
    exact = counted(held_by(tell(["held"] * 10, [], pid=7), [("c", 10)]))
    for merged in (looked + exact, exact + looked):
        shares = {holder.name: holder.share for holder in merged.holders}
        assert shares == {"a": 0.2, "b": 0.3, "c": 0.5}
        assert merged.method == "count"


def test_a_merge_of_parts_that_observed_no_time_counts_ticks() -> None:
    a, b = (tell([], [], ticks=n, ticks_held=1, observed_ns=0) for n in (1, 3))
    assert (a + b).held_fraction == 0.5
    assert (a + b).held_seconds == 0.0


def test_what_differs_in_a_merge_is_none() -> None:
    a = tell(["held"], [], raw=True)
    b = tell(["held"], [], pid=1, interval_ns=7, slice_active=False, gil_enabled_now=False)
    merged = a + b
    assert (merged.pid, merged.interval_ns, merged.knock_interval_ns) == (None, None, None)
    assert merged.switch_interval_ns == 5 * MS
    assert (merged.sampler_id, merged.epoch) == (None, None)
    assert merged.slice_active is False
    assert not hasattr(merged, "wait_times")
    assert (a + tell([], [], gil_enabled_now=False)).gil_enabled == "mixed"


def test_a_merge_has_the_longest_knock_in_flight_and_the_worst_known_maximum() -> None:
    story = [300, 200]
    window = tell([], story) - tell([], story[:1])
    assert not window.wait_max_exact
    assert (window + tell([], [150])).wait_max_exact is False
    assert (window + tell([], [900])).wait_max_exact is True
    assert (tell([], [], in_flight_ns=5) + tell([], [], in_flight_ns=3)).in_flight_ns == 5


def test_methods_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different methods cannot be merged: 'look' and 'knock'"):
        tell([], []) + tell([], [], method="knock")


def test_a_merge_cannot_be_subtracted() -> None:
    snapshot = tell(["held"], [])
    for later, earlier in ((snapshot + snapshot, snapshot), (snapshot, snapshot + snapshot)):
        with pytest.raises(ValueError, match="a merge of snapshots has no window"):
            later - earlier


def test_sums_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="the sum of cpu_ns does not fit in 64 bits"):
        tell([], [], cpu_ns=MAX) + tell([], [], cpu_ns=1)


@given(st.lists(st.tuples(ticks_lists, waits_lists), min_size=1, max_size=9))
def test_merging_many_is_adding_them_all(stories: list[tuple[list[str], list[int]]]) -> None:
    parts = [tell(ticks, waits, pid=pid) for pid, (ticks, waits) in enumerate(stories)]
    merged, added = Snapshot.merge(iter(parts)), sum(parts)
    assert merged.histogram == added.histogram
    assert merged.to_dict() | {"holders": 0, "merged": 0, "summary": 0} == added.to_dict() | {
        "holders": 0,
        "merged": 0,
        "summary": 0,
    }
    assert sorted(merged.holders) == sorted(added.holders)
    assert merged.held_seconds == pytest.approx(added.held_seconds, nan_ok=True)


def test_merging_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one Snapshot"):
        Snapshot.merge([])
    with pytest.raises(TypeError, match="must be Snapshots, not 5"):
        Snapshot.merge([tell([], []), 5])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="different methods"):
        Snapshot.merge([tell([], []), tell([], [], method="knock")])


def test_sum_starts_from_nothing() -> None:
    snapshot = tell(["held"], [1])
    assert sum([snapshot]) is snapshot
    with pytest.raises(TypeError):
        snapshot + 0  # type: ignore[operator]
    with pytest.raises(TypeError):
        1 + snapshot
    with pytest.raises(TypeError):
        snapshot - 0  # type: ignore[operator]
