"""Snapshot against a naive model: lists of looks and waits, counted anew for every window."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stories import (
    MS,
    same_number,
    tell,
    ticks_lists,
    waits_lists,
)

MAX = 2**63 - 1


# What one snapshot says


@given(ticks_lists, waits_lists)
def test_it_says_what_was_counted(ticks: list[str], waits: list[int]) -> None:
    snapshot = tell(ticks, waits)
    enabled = [tick for tick in ticks if tick != "disabled"]
    if enabled:
        share = enabled.count("held") / len(enabled)
        assert snapshot.held_fraction == share
        seconds = share * len(enabled) * MS / 1e9
        assert snapshot.held_seconds == pytest.approx(seconds)
    assert snapshot.observed_seconds == len(ticks) / 1000
    assert same_number(snapshot.wait_mean_ns, float(np.mean(waits)) if waits else math.nan)
    assert same_number(snapshot.knock_wait_fraction, 0.5 if sum(waits) else math.nan)
    assert snapshot.floor_ns == min(waits, default=None)
    assert (snapshot.wait_max_ns, snapshot.wait_max_exact) == (max(waits, default=0), True)
    assert snapshot.wait_fraction is None


@given(waits_lists.filter(bool), st.floats(0, 100))
def test_percentiles_are_within_one_percent(waits: list[int], p: float) -> None:
    exact = sorted(waits)[max(math.ceil(p * len(waits) / 100), 1) - 1]
    snapshot = tell([], waits)
    assert abs(snapshot.percentile(p) - exact) <= exact / 100
    assert snapshot.percentile(p) <= snapshot.percentile(100) == max(waits)
    limit = exact
    assert snapshot.exceeds(limit) <= sum(wait > limit for wait in waits)
    assert snapshot.exceeds(limit) >= sum(wait > limit * 65 / 64 for wait in waits)


def test_without_ticks_and_knocks_nothing_is_known() -> None:
    snapshot = tell([], [])
    for value in (
        snapshot.held_fraction,
        snapshot.held_seconds,
        snapshot.wait_mean_ns,
        snapshot.knock_wait_fraction,
        snapshot.percentile(50),
        snapshot.percentile(100),
    ):
        assert value is not None
        assert math.isnan(value)
    assert snapshot.held_fraction_interval == (0.0, 1.0)
    assert snapshot.exceeds(0) == 0


@pytest.mark.parametrize("ticks", [["disabled"] * 3, []])
def test_without_a_gil_there_is_no_held_fraction(ticks: list[str]) -> None:
    snapshot = tell(ticks, [], gil_enabled_now=False)
    assert snapshot.gil_enabled is False
    assert snapshot.held_fraction is None
    assert snapshot.held_fraction_interval is None
    assert snapshot.held_seconds == 0.0


def test_only_looks_with_a_gil_count() -> None:
    snapshot = tell(["disabled", "disabled", "held", "free"], [])
    assert snapshot.gil_enabled == "mixed"
    assert snapshot.held_fraction == 0.5
    assert snapshot.held_seconds == pytest.approx(0.001)


@pytest.mark.parametrize("p", [101, -1, math.nan])
def test_a_percentile_out_of_range_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p must be a real number from 0 to 100"):
        tell([], [1]).percentile(p)


def test_a_percentile_that_is_no_number_is_refused() -> None:
    with pytest.raises(TypeError, match="p must be a real number from 0 to 100, not '50'"):
        tell([], [1]).percentile("50")  # type: ignore[arg-type]


@given(st.integers(0, 10**6), st.integers(1, 10**6))
@example(0, 10)
@example(10, 10)
def test_the_interval_solves_wilsons_equation(held: int, n: int) -> None:
    held = min(held, n)
    snapshot = tell([], [], ticks=n, ticks_held=held, observed_ns=n)
    assert snapshot.held_fraction_interval is not None
    low, high = snapshot.held_fraction_interval
    assert 0 <= low <= held / n <= high <= 1
    for bound in (low, high):  # |p - x| = 1.96 sqrt(x (1 - x) / n)
        deviation = 1.959963984540054**2 * bound * (1 - bound) / n
        assert (held / n - bound) ** 2 == pytest.approx(deviation, rel=1e-6, abs=1e-12)


def test_the_interval_is_the_one_in_the_books() -> None:
    low, high = tell(["held"] * 3 + ["free"] * 7, []).held_fraction_interval or (0, 0)
    assert (round(low, 4), round(high, 4)) == (0.1078, 0.6032)


# Raw waits


def test_raw_waits_are_the_newest_and_read_only() -> None:
    waits = [5, 3, 8, 1]
    snapshot = tell([], waits, raw=True, capacity=3)
    assert snapshot.wait_times.tolist() == [3, 8, 1]
    assert snapshot.knock_times.tolist() == [10_000, 20_000, 30_000]
    assert snapshot.waits_dropped == 1
    for array in (snapshot.wait_times, snapshot.knock_times):
        assert array.dtype == np.int64
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert snapshot.wait_times is snapshot.wait_times


@pytest.mark.parametrize("name", ["wait_times", "knock_times", "waits_dropped"])
def test_without_raw_waits_the_error_says_how_to_get_them(name: str) -> None:
    with pytest.raises(
        AttributeError, match=r"take it with KnockKnock.snapshot\(waits=True\) or GilTracer"
    ):
        getattr(tell([], [1]), name)
    with pytest.raises(
        AttributeError, match=r"take it with KnockKnock.snapshot\(waits=True\) or GilTracer"
    ):
        tell([], [1]).to_dict(waits=True)


# later - earlier


# As text
