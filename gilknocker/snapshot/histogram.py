"""The distribution of waits in constant memory: a log-linear histogram, as HdrHistogram has it.

Waits below 128 ns have a bucket each; above, every power of two has 64 of equal width, so that a
bucket is at most 1/64 as wide as its values and its midpoint at most 0.8 % off. The C++ side
(``cpp/include/gilknocker/wait_histogram.hpp``) counts by the same formula.
"""

from __future__ import annotations

import sys

from gilknocker._checks import MAX_INT64, NAN, checked_real, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    import numpy as np
    import numpy.typing as npt

__all__ = ["WaitHistogram", "bucket_bounds", "bucket_of"]

_PER_OCTAVE = 64
_EXACT_BITS = 7
_PAIR = 16  # bytes: the number of a bucket and its count, native 64-bit integers
_PERCENT = "a real number from 0 to 100"


def _pairs(packed: bytes) -> Iterator[tuple[int, int]]:
    # Not struct, which takes as long to import as the report of a run to be written.
    numbers = memoryview(packed).cast("q")
    return zip(numbers[::2], numbers[1::2], strict=True)


def bucket_of(ns: int) -> int:
    """Return the number of the bucket that counts waits of `ns` >= 0."""
    exponent = max(ns.bit_length() - _EXACT_BITS, 0)
    return _PER_OCTAVE * exponent + (ns >> exponent)


def bucket_bounds(bucket: int) -> tuple[int, int]:
    """Return (lower_ns, upper_ns) of a bucket: it counts waits with lower <= wait < upper."""
    exponent = max(bucket // _PER_OCTAVE - 1, 0)
    lower = (bucket - _PER_OCTAVE * exponent) << exponent
    return lower, lower + (1 << exponent)


_BUCKETS = bucket_of(MAX_INT64) + 1


class WaitHistogram:
    """How many waits were how long: immutable, hashable, additive.

    Iterating gives ``(lower_ns, upper_ns, count)`` of each occupied bucket, in ascending order: so
    many waits with ``lower_ns <= wait < upper_ns``. ``len()`` is the number of occupied buckets.
    ``a + b`` counts the waits of both, ``later - earlier`` those that came in between.

    Parameters
    ----------
    packed : bytes, default b""
        Native int64 pairs (bucket, count) of the occupied buckets, in ascending order.

    Raises
    ------
    TypeError
        If `packed` is not bytes.
    ValueError
        If it does not hold such pairs.

    Examples
    --------
    >>> histogram = WaitHistogram.from_buckets([(100, 101, 3), (4_980_736, 5_046_272, 1)])
    >>> histogram.total_count, histogram.percentile(50), histogram.exceeds(1000)
    (4, 100.0, 1)
    """

    __slots__ = ("_packed",)
    _packed: bytes

    def __init__(self, packed: bytes = b"") -> None:
        if type(packed) is not bytes:
            raise TypeError(f"packed must be bytes, not {shown(packed)}")
        if len(packed) % _PAIR:
            raise ValueError(f"packed must hold pairs of 64-bit integers, not {len(packed)} bytes")
        previous = -1
        for bucket, count in _pairs(packed):
            if not previous < bucket < _BUCKETS or count < 1:
                raise ValueError(
                    f"packed must hold ascending buckets 0 to {_BUCKETS - 1} with counts of at "
                    f"least 1, not {count} in bucket {bucket} after {previous}"
                )
            previous = bucket
        object.__setattr__(self, "_packed", packed)

    @classmethod
    def _trusted(cls, packed: bytes) -> WaitHistogram:
        """Wrap what the C++ side packed, unchecked: snapshots are to be cheap."""
        histogram = cls.__new__(cls)
        object.__setattr__(histogram, "_packed", packed)
        return histogram

    @classmethod
    def from_buckets(cls, buckets: Iterable[tuple[int, int, int]]) -> WaitHistogram:
        """Make a histogram of what iterating over one gives.

        Parameters
        ----------
        buckets : iterable of (int, int, int)
            Lower and upper bound in ns and the count of each occupied bucket, ascending.

        Raises
        ------
        TypeError
            If a value is not an int.
        ValueError
            If there is no bucket with these bounds, a count is not 1 to 2**63 - 1, or the order
            is wrong.
        """
        counts: dict[int, int] = {}
        previous = -1
        for lower, upper, count in buckets:
            for value in (lower, upper, count):
                if type(value) is not int:
                    raise TypeError(f"a histogram's numbers must be int, not {shown(value)}")
            if not 0 <= lower <= MAX_INT64 or bucket_bounds(bucket_of(lower)) != (lower, upper):
                raise ValueError(f"there is no bucket from {shown(lower)} to {shown(upper)} ns")
            if lower <= previous:
                raise ValueError(f"buckets must ascend: {lower} ns comes after {previous} ns")
            previous = lower
            counts[bucket_of(lower)] = count
        return _packed_counts(counts)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a WaitHistogram is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a WaitHistogram is immutable: {name} cannot be deleted")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self).from_buckets, (list(self),)  # the packed form depends on the machine

    def __copy__(self) -> WaitHistogram:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> WaitHistogram:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, WaitHistogram):
            return NotImplemented
        return self._packed == other._packed

    def __hash__(self) -> int:
        return hash(self._packed)

    def __len__(self) -> int:
        return len(self._packed) // _PAIR

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        for bucket, count in _pairs(self._packed):
            yield (*bucket_bounds(bucket), count)

    def __repr__(self) -> str:
        return f"<WaitHistogram of {self.total_count} waits in {len(self)} buckets>"

    def __add__(self, other: WaitHistogram) -> WaitHistogram:
        if not isinstance(other, WaitHistogram):
            return NotImplemented
        counts = self._counts()
        for bucket, count in other._counts().items():
            counts[bucket] = counts.get(bucket, 0) + count
        return _packed_counts(counts)

    def __sub__(self, other: WaitHistogram) -> WaitHistogram:
        if not isinstance(other, WaitHistogram):
            return NotImplemented
        counts = self._counts()
        for bucket, count in other._counts().items():
            counts[bucket] = counts.get(bucket, 0) - count
        return _packed_counts({bucket: count for bucket, count in counts.items() if count})

    @property
    def total_count(self) -> int:
        """The number of waits."""
        return sum(count for _, count in _pairs(self._packed))

    @property
    def highest_ns(self) -> int:
        """The longest wait in ns that the top occupied bucket can hold, 0 without any."""
        return max((upper for _, upper, _ in self), default=1) - 1

    @property
    def lower_ns(self) -> npt.NDArray[np.int64]:
        """The least wait of each occupied bucket: int64 array of shape ``(len(self),)``, ns."""
        return self._column(0)

    @property
    def upper_ns(self) -> npt.NDArray[np.int64]:
        """The end of each occupied bucket, itself not in it: int64, ``(len(self),)``, ns.

        That of the very last bucket, 2**63, does not fit and is given as 2**63 - 1.
        """
        return self._column(1)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """The number of waits in each occupied bucket: int64 array of shape ``(len(self),)``."""
        return self._column(2)

    def percentile(self, p: float, *, max_ns: int | None = None) -> float:
        """Return the wait that `p` percent of the waits do not exceed.

        Parameters
        ----------
        p : float
            0 to 100.
        max_ns : int, optional
            The longest wait in ns, where it is known: the answer is never above it.

        Returns
        -------
        float
            The midpoint in ns of the bucket that holds the ``ceil(p / 100 * n)``-th shortest of
            the `n` waits (nearest rank, at least the first): at most 0.8 % off. NaN without waits.

        Raises
        ------
        TypeError
            If `p` is not a real number.
        ValueError
            If `p` is not from 0 to 100.
        """
        share = checked_percent(p)
        total = self.total_count
        rank = min(max(-int(-share * total / 100 // 1), 1), total)  # rounded up
        reached = 0
        for bucket, count in _pairs(self._packed):
            reached += count
            if reached >= rank:
                lower, upper = bucket_bounds(bucket)
                middle = (lower + upper - 1) / 2
                return middle if max_ns is None else min(middle, float(max_ns))
        return NAN

    def exceeds(self, ns: float) -> int:
        """Return how many waits were longer than `ns`, as far as the buckets tell.

        Parameters
        ----------
        ns : float
            The limit in ns.

        Returns
        -------
        int
            The waits in buckets that lie wholly above `ns`. None of them is shorter than the
            limit; those less than 1/64 above it may be missing.

        Raises
        ------
        TypeError
            If `ns` is not a real number.
        ValueError
            If `ns` is not a number.
        """
        limit = checked_real("ns", ns, "a real number")
        return sum(count for lower, _, count in self if lower > limit)

    def _counts(self) -> dict[int, int]:
        return dict(_pairs(self._packed))

    def _column(self, index: int) -> npt.NDArray[np.int64]:
        import numpy as np

        values = [min(bucket[index], MAX_INT64) for bucket in self]
        column = np.array(values, dtype=np.int64)
        column.setflags(write=False)
        return column


def checked_percent(p: Any) -> float:
    """Return `p` as a float from 0 to 100, or raise TypeError or ValueError."""
    share = checked_real("p", p, _PERCENT)
    if not 0 <= share <= 100:
        raise ValueError(f"p must be {_PERCENT}, not {shown(p)}")
    return share


def _packed_counts(counts: Mapping[int, int]) -> WaitHistogram:
    for bucket, count in counts.items():
        if not 1 <= count <= MAX_INT64:
            lower, upper = bucket_bounds(bucket)
            raise ValueError(
                f"a histogram's counts must be 1 to 2**63 - 1, not {shown(count)} from {lower} "
                f"to {upper} ns"
            )
    numbers = (number for pair in sorted(counts.items()) for number in pair)
    return WaitHistogram._trusted(b"".join(number.to_bytes(8, sys.byteorder) for number in numbers))
