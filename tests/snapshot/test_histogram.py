"""WaitHistogram against lists of waits."""

from __future__ import annotations

import copy
import math
import pickle
import struct
from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gilknocker import WaitHistogram, _core
from gilknocker.snapshot.histogram import bucket_bounds, bucket_of

MAX = 2**63 - 1
BUCKETS = bucket_of(MAX) + 1

# Waits of every magnitude, not mostly huge ones.
nanos = st.integers(0, 63).flatmap(lambda bits: st.integers(0, 2**bits - 1))
waits_lists = st.lists(nanos, max_size=200)
percents = st.floats(0, 100) | st.sampled_from([0, 50, 90, 99, 99.9, 100])


def packed(waits: list[int]) -> bytes:
    pairs = sorted(Counter(map(bucket_of, waits)).items())
    return b"".join(struct.pack("=qq", *pair) for pair in pairs)


def histogram_of(waits: list[int]) -> WaitHistogram:
    return WaitHistogram(packed(waits))


@given(nanos)
@example(MAX)
def test_a_bucket_holds_its_waits_and_is_narrow(ns: int) -> None:
    lower, upper = bucket_bounds(bucket_of(ns))
    assert lower <= ns < upper
    assert upper - lower == 1 or upper - lower <= Fraction(lower, 64)


def test_buckets_follow_each_other_without_gaps() -> None:
    bounds = [bucket_bounds(bucket) for bucket in range(BUCKETS)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 2**63
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert [bucket_of(lower) for lower, _ in bounds] == list(range(BUCKETS))


@given(nanos)
@example(MAX)
def test_the_core_has_the_same_buckets(ns: int) -> None:
    assert _core.bucket_of(ns) == bucket_of(ns)
    assert _core.bucket_bounds(bucket_of(ns)) == bucket_bounds(bucket_of(ns))


@given(waits_lists)
def test_it_counts_all_waits(waits: list[int]) -> None:
    histogram = histogram_of(waits)
    assert histogram.total_count == len(waits)
    assert len(histogram) == len({bucket_of(wait) for wait in waits})
    for lower, upper, count in histogram:
        assert count == sum(lower <= wait < upper for wait in waits)
    if waits:
        assert bucket_of(histogram.highest_ns) == bucket_of(max(waits))
        assert max(waits) <= histogram.highest_ns
    else:
        assert histogram.highest_ns == 0


@given(waits_lists.filter(bool), percents)
def test_a_percentile_is_within_one_percent_of_the_nearest_rank(waits: list[int], p: float) -> None:
    exact = sorted(waits)[max(math.ceil(p * len(waits) / 100), 1) - 1]
    histogram = histogram_of(waits)
    assert abs(histogram.percentile(p) - exact) <= exact / 100
    clipped = histogram.percentile(p, max_ns=max(waits))
    assert clipped <= max(waits)
    assert abs(clipped - exact) <= exact / 100


def test_percentiles_of_nothing_are_nan() -> None:
    assert math.isnan(WaitHistogram().percentile(50))


def test_round_percentiles_hit_their_rank() -> None:
    histogram = histogram_of(list(range(1, 101)))  # one wait in each bucket below 128
    assert [histogram.percentile(p) for p in (0, 1, 1.5, 50, 99, 99.5, 100)] == [
        1,
        1,
        2,
        50,
        99,
        100,
        100,
    ]


@pytest.mark.parametrize("p", [-0.001, 100.001, math.nan, math.inf, -math.inf, 1e300])
def test_a_percentile_beyond_0_to_100_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="p must be a real number from 0 to 100, not "):
        WaitHistogram().percentile(p)


@pytest.mark.parametrize("p", ["50", None, True, [50], 5j])
def test_a_percentile_that_is_no_number_is_refused(p: object) -> None:
    with pytest.raises(TypeError, match="p must be a real number from 0 to 100, not "):
        WaitHistogram().percentile(p)  # type: ignore[arg-type]


def test_numpy_numbers_are_percentiles() -> None:
    histogram = histogram_of([5])
    numbers: list[Any] = [np.float32(50), np.int8(50), Fraction(1, 3)]
    for p in numbers:
        assert histogram.percentile(p) == 5.0


@given(waits_lists, nanos)
def test_exceeds_counts_no_shorter_wait_and_misses_only_close_ones(
    waits: list[int], limit: int
) -> None:
    counted = histogram_of(waits).exceeds(limit)
    assert counted <= sum(wait > limit for wait in waits)
    assert counted >= sum(wait > limit * Fraction(65, 64) for wait in waits)


def test_exceeds_takes_any_real_number() -> None:
    histogram = histogram_of([1, 100])
    assert [histogram.exceeds(ns) for ns in (-1, 0.5, 1, np.float64(99.5), math.inf)] == [
        2,
        2,
        1,
        1,
        0,
    ]
    with pytest.raises(ValueError, match="ns must be a real number, not nan"):
        histogram.exceeds(math.nan)
    with pytest.raises(TypeError, match="ns must be a real number, not '5 ms'"):
        histogram.exceeds("5 ms")  # type: ignore[arg-type]


@given(waits_lists, waits_lists)
def test_adding_and_subtracting_are_as_counting_together(a: list[int], b: list[int]) -> None:
    together = histogram_of(a + b)
    assert histogram_of(a) + histogram_of(b) == together
    assert together - histogram_of(a) == histogram_of(b)
    assert hash(histogram_of(a) + histogram_of(b)) == hash(together)


def test_what_was_not_counted_cannot_be_subtracted() -> None:
    with pytest.raises(ValueError, match=r"1 to 2\*\*63 - 1, not -1 from 5 to 6 ns"):
        histogram_of([7]) - histogram_of([5])


def test_counts_that_do_not_fit_are_refused() -> None:
    full = WaitHistogram.from_buckets([(5, 6, MAX)])
    with pytest.raises(ValueError, match="not 9223372036854775808 from 5 to 6 ns"):
        full + histogram_of([5])


@pytest.mark.parametrize("other", [0, None, b"", [(1, 2, 3)]])
def test_only_histograms_are_added_subtracted_and_equal(other: Any) -> None:
    with pytest.raises(TypeError):
        WaitHistogram() + other
    with pytest.raises(TypeError):
        WaitHistogram() - other
    assert WaitHistogram() != other


@given(waits_lists)
def test_numpy_columns_are_the_buckets_and_read_only(waits: list[int]) -> None:
    histogram = histogram_of(waits)
    columns = (histogram.lower_ns, histogram.upper_ns, histogram.counts)
    for column in columns:
        assert column.dtype == np.int64
        assert column.shape == (len(histogram),)
        assert not column.flags.writeable
    expected = [(lower, min(upper, MAX), count) for lower, upper, count in histogram]
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == expected


@given(waits_lists)
def test_it_comes_back_from_its_buckets_pickles_and_copies(waits: list[int]) -> None:
    histogram = histogram_of(waits)
    assert WaitHistogram.from_buckets(histogram) == histogram
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(histogram, protocol)) == histogram
    assert copy.copy(histogram) is copy.deepcopy(histogram) is histogram


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 0)], "not 0 in bucket 0 after -1"),
        ([(-1, 1)], "not 1 in bucket -1 after -1"),
        ([(BUCKETS, 1)], f"not 1 in bucket {BUCKETS} after -1"),
        ([(1, 1), (1, 1)], "not 1 in bucket 1 after 1"),
        ([(2, 1), (1, 1)], "not 1 in bucket 1 after 2"),
        ([(2, -1)], "not -1 in bucket 2"),
    ],
)
def test_packed_pairs_are_checked(pairs: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WaitHistogram(b"".join(struct.pack("=qq", *pair) for pair in pairs))


def test_packed_must_be_whole_pairs_of_bytes() -> None:
    with pytest.raises(ValueError, match="pairs of 64-bit integers, not 8 bytes"):
        WaitHistogram(bytes(8))
    with pytest.raises(TypeError, match="packed must be bytes, not a list of 0"):
        WaitHistogram([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("buckets", "error"),
    [
        ([(5, 6, 0)], ValueError),
        ([(5, 6, 2**63)], ValueError),
        ([(5, 7, 1)], ValueError),
        ([(-1, 0, 1)], ValueError),
        ([(129, 131, 1)], ValueError),
        ([(2**63, 2**64, 1)], ValueError),
        pytest.param([(10**5000, 10**5000, 1)], ValueError, id="huge"),
        ([(6, 7, 1), (5, 6, 1)], ValueError),
        ([(5, 6, 1), (5, 6, 1)], ValueError),
        ([(5.0, 6, 1)], TypeError),
        ([(5, 6, True)], TypeError),
        ([(5, 6, "1")], TypeError),
    ],
)
def test_buckets_are_checked(buckets: list[tuple[int, int, int]], error: type[Exception]) -> None:
    with pytest.raises(error):
        WaitHistogram.from_buckets(buckets)


def test_it_is_immutable_and_says_what_it_is() -> None:
    histogram = histogram_of([1, 1, 200])
    with pytest.raises(AttributeError, match="a WaitHistogram is immutable: counts cannot be set"):
        histogram.counts = None  # type: ignore[misc,assignment]
    with pytest.raises(AttributeError, match="_packed cannot be deleted"):
        del histogram._packed
    assert repr(histogram) == "<WaitHistogram of 3 waits in 2 buckets>"
    assert len({histogram, histogram_of([1, 1, 200])}) == 1
