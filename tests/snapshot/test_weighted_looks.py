"""Looks that stand for different times, as those of a dense start do: weighted, not counted."""

from __future__ import annotations

import math
import pickle
from _weakref import ref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stories import MS, counted, held_by, tell

from gilknocker import Snapshot
from gilknocker.meters.totals import Totals
from gilknocker.reports.reasons import interpretation
from gilknocker.snapshot.fields import told_of_holders, wilson_interval

UNIT = 10_000  # ns, of the shortest stratum
LOOKS = ("held", "free", "own", "disabled")

looks_lists = st.lists(st.tuples(st.sampled_from(LOOKS), st.sampled_from([1, 2, 4, 64])))


def weighed(
    looks: list[tuple[str, int]], waits: list[int] | None = None, **changes: Any
) -> Snapshot:
    """Return the snapshot of looks with their weights."""
    enabled = [(look, weight) for look, weight in looks if look != "disabled"]
    sums = (
        sum(weight for look, weight in enabled if look == "held"),
        sum(weight for _, weight in enabled),
        sum(weight**2 for _, weight in enabled),
    )
    same = all(weight == 1 for _, weight in looks)
    observed = UNIT * sum(weight for _, weight in looks)
    return tell(
        [look for look, _ in looks],
        waits or [],
        _looks=None if same else sums,
        **{
            "observed_ns": observed,
            "end_ns": 1000 + observed,
            "held_ns": UNIT * sums[0],
            **changes,
        },
    )


def spread(looks: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Return as many looks of weight 1 as each weighs."""
    return [(look, 1) for look, weight in looks for _ in range(weight)]


@given(looks_lists)
def test_a_look_counts_by_the_time_that_it_stands_for(looks: list[tuple[str, int]]) -> None:
    seen, even = weighed(looks), weighed(spread(looks))
    assert seen.held_fraction == pytest.approx(even.held_fraction, nan_ok=True)
    assert seen.gil_enabled == even.gil_enabled


def test_a_busy_beginning_does_not_decide() -> None:
    seen = weighed([("held", 1)] * 8 + [("free", 8)])
    assert seen.held_fraction == 0.5
    low, high = seen.held_fraction_interval or (1, 1)
    # Nine looks, worth 16**2 / (8 + 64) = 3.6.
    assert (low, high) == pytest.approx(wilson_interval(0.5, 256 / 72))


@given(looks_lists, looks_lists)
def test_a_window_is_weighed_by_its_own_looks(
    before: list[tuple[str, int]], after: list[tuple[str, int]]
) -> None:
    window = weighed(before + after) - weighed(before)
    alone = weighed(after)
    if not after:  # whether there is a GIL the looks before still say
        return
    assert window.held_fraction == pytest.approx(alone.held_fraction, nan_ok=True)
    assert window.held_fraction_interval == pytest.approx(alone.held_fraction_interval)


@given(looks_lists, looks_lists)
def test_a_merge_weighs_by_time(one: list[tuple[str, int]], other: list[tuple[str, int]]) -> None:
    merged = weighed(one) + weighed(other)
    weights = {"held": 1, "free": 0, "own": 0}
    enabled = [(look, weight) for look, weight in one + other if look != "disabled"]
    total = sum(weight for _, weight in enabled)
    if any(look == "disabled" for look, _ in one + other) or not total:
        return  # the time with a GIL is that share of the looks
    truth = sum(weight * weights[look] for look, weight in enabled) / total
    assert merged.held_fraction == pytest.approx(truth)
    assert Snapshot.from_dict(merged.to_dict()) == merged


@given(looks_lists)
def test_it_goes_to_json_and_pickles_and_back(looks: list[tuple[str, int]]) -> None:
    seen = weighed(looks)
    assert Snapshot.from_dict(seen.to_dict()) == seen
    assert pickle.loads(pickle.dumps(seen)) == seen
    assert hash(Snapshot.from_dict(seen.to_dict())) == hash(seen)


def test_counted_in_part_the_rest_is_weighed() -> None:
    looks = [("held", 1)] * 8 + [("free", 8)]
    held = 8 * UNIT + 5 * MS
    seen = weighed(looks, method="count", counted_ns=10 * MS, held_ns=held)
    data = seen.to_dict() | {"observed_ns": 16 * UNIT + 10 * MS, "end_ns": 10**9}
    low, high = Snapshot.from_dict(data).held_fraction_interval or (1, 0)
    middle = held / (16 * UNIT + 10 * MS)
    assert low < middle < high
    assert middle - low == pytest.approx(high - middle)  # about one half, as the weighed looks are


def test_of_a_difference_no_more_was_held_than_was_counted() -> None:
    """What is held by looks grows with all of them: a difference may have more than its time."""
    looks = weighed([("held", 1)] * 6, method="count", counted_ns=0, held_ns=12 * UNIT)
    data = looks.to_dict() | {"observed_ns": 6 * UNIT, "end_ns": 10**9}
    seen = Snapshot.from_dict(data)
    low, high = seen.held_fraction_interval or (1, 0)
    assert (low, high) == pytest.approx(wilson_interval(1.0, 6))
    assert low < 0.7


def test_of_a_window_that_was_counted_in_part_the_fraction_is_in_its_interval() -> None:
    """As when the time held waited for the estimate to catch up: 10 of its 100 looks were held."""
    part: dict[str, Any] = {"method": "count", "counted_ns": 0, "held_ns": 50 * MS}
    earlier = tell(["held"] * 50 + ["free"] * 50, [], **part)
    later = tell(["held"] * 60 + ["free"] * 140, [], **part)
    window = later - earlier
    low, high = window.held_fraction_interval or (1, 0)
    assert window.held_fraction == pytest.approx(0.1)
    assert low < 0.1 < high


def test_what_was_counted_is_not_weighed_by_time_without_a_gil() -> None:
    busy = counted(tell(["held"] * 100, []))
    without = tell(["disabled"] * 300, [], gil_enabled_now=False)
    both = busy + without
    assert both.held_fraction == 1
    assert both.held_fraction_interval == (1, 1)


def test_holders_of_a_merge_with_what_was_counted() -> None:
    looked = held_by(weighed([("held", 1)] * 8 + [("held", 8)]), [("early", 8), ("late", 8)])
    counted = held_by(
        weighed([], method="count", counted_ns=MS, held_ns=MS, observed_ns=MS, end_ns=10**9),
        [("counted", MS)],
    )
    share = {holder.name: holder.share for holder in (looked + counted).holders}
    total = 16 * UNIT + MS
    assert share == pytest.approx(
        {"early": 8 * UNIT / total, "late": 8 * UNIT / total, "counted": MS / total}
    )


BAD = [
    ([], TypeError, "looks must be a dict or None, not a list of 0"),
    ({}, ValueError, "looks must have the key 'held'"),
    ({"held": True}, TypeError, "looks.held must be an integer"),
    ({"held": -1}, ValueError, "looks.held must be an integer"),
    ({"held": 1}, ValueError, "looks.held must be 2 to 6, not 1"),
    ({"held": 7}, ValueError, "looks.held must be 2 to 6, not 7"),
    ({"enabled": 3}, ValueError, "looks.enabled must be at least 4, for as many ticks, not 3"),
    ({"squared": 15}, ValueError, "looks.squared must be .* over 1 to 4 ticks, not 15"),
    ({"squared": 65}, ValueError, "looks.squared must be .* over 1 to 4 ticks, not 65"),
]


@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_weights_are_refused_by_name(change: Any, error: type[Exception], message: str) -> None:
    data = weighed([("held", 1), ("held", 4), ("free", 2), ("free", 1)]).to_dict()
    assert data["looks"] == {"held": 5, "enabled": 8, "squared": 22}
    data["looks"] = {**data["looks"], **change} if change else change
    with pytest.raises(error, match=message):
        Snapshot.from_dict(data)


def test_a_merge_has_no_looks_of_its_own() -> None:
    data = (weighed([("held", 1), ("free", 2)]) + weighed([("held", 1)])).to_dict()
    assert data["looks"] is None
    with pytest.raises(ValueError, match="looks must be None in a merge"):
        Snapshot.from_dict(data | {"looks": {"held": 1, "enabled": 3, "squared": 5}})


def test_no_look_and_never_held_differ() -> None:
    nothing, idle = weighed([]), weighed([("free", 1)] * 3 + [("free", 2)])
    assert math.isnan(nothing.held_fraction or 0) and idle.held_fraction == 0.0
    assert str(nothing).startswith("held unknown") and str(idle).startswith("held 0.0 %")
    assert (nothing.summary()["held_fraction"], idle.summary()["held_fraction"]) == (None, 0.0)


@pytest.mark.parametrize(("weight", "alone"), [(3200, False), (6080, True)])
def test_who_is_nearly_alone_is_told_by_the_weights(weight: int, alone: bool) -> None:
    looks = [("held", 64)] * 100 + [("free", 1)]
    seen = held_by(weighed(looks, [20 * MS] * 30), [("a", weight), ("b", 6400 - weight)])
    assert told_of_holders(seen) == 6400
    assert ("a had it nearly all" in interpretation(seen)) is alone


def test_holders_of_a_merge_weigh_by_the_time_of_their_looks() -> None:
    dense = held_by(weighed([("held", 64), ("held", 1), ("free", 1)]), [("a", 64), ("b", 1)])
    even = held_by(tell(["held"] * 10, [], pid=7), [("c", 10)])
    for merged in (dense + even, even + dense):
        shares = {holder.name: holder.share for holder in merged.holders}
        assert shares == {"c": pytest.approx(10 / 12), "a": pytest.approx(2 / 12)}


class Resets:
    """A meter that was reset between the snapshots that it gives."""

    _totals: tuple[ref[Totals], ...] = ()

    def __init__(self, *epochs: Snapshot) -> None:
        self._epochs = iter(epochs)

    def snapshot(self) -> Snapshot:
        return next(self._epochs)


def test_in_totals_of_one_meter_looks_weigh_as_in_each_epoch() -> None:
    first = held_by(weighed([("held", 1)] * 8 + [("free", 64)] * 3), [("a", 8)])
    second = held_by(weighed([("free", 1)] * 8 + [("held", 64)], epoch=1), [("a", 60), ("b", 4)])
    totals = Totals(Resets(first, second))
    before, total = totals.snapshot(), totals.snapshot()
    assert total.held_fraction == pytest.approx(72 / 272)
    assert {one.name: one.share for one in total.holders} == {
        "a": pytest.approx(68 / 72),
        "b": pytest.approx(4 / 72),
    }
    window = total - before
    assert window.held_fraction == pytest.approx(64 / 72)
    assert {one.name: one.share for one in window.holders} == {
        "a": pytest.approx(60 / 64),
        "b": pytest.approx(4 / 64),
    }
