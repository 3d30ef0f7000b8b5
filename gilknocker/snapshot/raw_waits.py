"""Single waits with the instants at which they were asked for: the raw data of a snapshot."""

from __future__ import annotations

from gilknocker._checks import MAX_INT64, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, type_check_only

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer, Self

    @type_check_only
    class WaitSource(Protocol):
        """Consecutive knocks, numbered: ``_core.WaitSlice``, or :class:`StoredWaits`."""

        @property
        def first_sequence(self) -> int:
            """The number of the first."""

        def __len__(self) -> int: ...
        def since(self, sequence: int, /) -> Self:
            """Return those from number `sequence` on."""

        def waits(self) -> Buffer:
            """Return the waits in ns, int64."""

        def times(self) -> Buffer:
            """Return the instants in ns, int64."""


class RawWaits:
    """The waits of one window: immutable, copied out of the log at first use.

    Until then they share its memory, so that keeping many snapshots is cheap.
    """

    __slots__ = ("_knock_times", "_source", "_wait_times")

    def __init__(self, source: WaitSource) -> None:
        self._source = source
        self._wait_times: npt.NDArray[np.int64] | None = None
        self._knock_times: npt.NDArray[np.int64] | None = None

    @property
    def wait_times(self) -> npt.NDArray[np.int64]:
        """The waits in ns, oldest knock first: read-only int64 array of shape ``(len(self),)``."""
        if self._wait_times is None:
            self._wait_times = as_int64(self._source.waits())
        return self._wait_times

    @property
    def knock_times(self) -> npt.NDArray[np.int64]:
        """When each was asked for, ns of ``time.monotonic_ns``: int64, ``(len(self),)``."""
        if self._knock_times is None:
            self._knock_times = as_int64(self._source.times())
        return self._knock_times

    @property
    def first_sequence(self) -> int:
        """The number of the oldest knock kept, counted from 0 at the start of its epoch."""
        return self._source.first_sequence

    def __len__(self) -> int:
        return len(self._source)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RawWaits):
            return NotImplemented
        return self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]  # a snapshot's hash leaves its raw waits out

    def __reduce__(self) -> tuple[object, ...]:
        columns = (self.wait_times, self.knock_times)
        return _restore, (self.first_sequence, *(c.astype("<i8").tobytes() for c in columns))

    def pairs(self) -> list[tuple[int, int]]:
        """Return when each was asked for and how long it waited, ns, without need of numpy."""
        columns = (self._source.times(), self._source.waits())
        return list(zip(*(memoryview(column).tolist() for column in columns), strict=True))

    def newest(self, count: int) -> RawWaits:
        """Return the newest `count` waits, or all of them if there are fewer."""
        return RawWaits(self._source.since(self.first_sequence + len(self) - count))

    def _values(self) -> tuple[int, bytes, bytes]:
        return self.first_sequence, self.wait_times.tobytes(), self.knock_times.tobytes()


def merged(a: RawWaits | None, b: RawWaits | None) -> RawWaits | None:
    """Return the waits of both in the order in which they were asked for, if both are known."""
    if a is None or b is None:
        return None
    import numpy as np

    waits = np.concatenate((a.wait_times, b.wait_times))
    times = np.concatenate((a.knock_times, b.knock_times))
    order = np.lexsort((waits, times))
    return RawWaits(StoredWaits(0, waits[order].tobytes(), times[order].tobytes()))


class StoredWaits:
    """Waits that came from a file, a pickle or a merge, not from a running sampler's log.

    Parameters
    ----------
    first_sequence : int
        The number of the first.
    waits, times : bytes
        Native int64 values, as many of the one as of the other.
    """

    __slots__ = ("_times", "_waits", "first_sequence")

    def __init__(self, first_sequence: int, waits: bytes, times: bytes) -> None:
        self.first_sequence = first_sequence
        self._waits = memoryview(waits).cast("q")
        self._times = memoryview(times).cast("q")

    @classmethod
    def from_lists(
        cls, first_sequence: int, waits: Sequence[int], times: Sequence[int]
    ) -> StoredWaits:
        """Keep two lists of as many 64-bit integers."""
        from array import array

        return cls(first_sequence, array("q", waits).tobytes(), array("q", times).tobytes())

    def __len__(self) -> int:
        return len(self._waits)

    def since(self, sequence: int) -> StoredWaits:
        """Return those from number `sequence` on."""
        skip = min(max(sequence - self.first_sequence, 0), len(self))
        waits, times = self._waits[skip:], self._times[skip:]
        return StoredWaits(self.first_sequence + skip, waits.tobytes(), times.tobytes())

    def waits(self) -> memoryview:
        """Return the waits in ns, read-only."""
        return self._waits

    def times(self) -> memoryview:
        """Return the instants in ns, read-only."""
        return self._times


def as_int64(values: Buffer) -> npt.NDArray[np.int64]:
    """Return 64-bit integers under the buffer protocol as an array over the same memory."""
    import numpy as np

    return np.asarray(values, dtype=np.int64)


def _restore(first_sequence: int, waits: bytes, times: bytes) -> RawWaits:
    """Make raw waits of what was pickled, after checks: a pickle may be damaged."""
    import numpy as np

    if type(first_sequence) is not int or not 0 <= first_sequence <= MAX_INT64:
        raise ValueError(
            f"first_sequence must be an integer from 0 to 2**63 - 1, not {shown(first_sequence)}"
        )
    columns = []
    for name, column in (("waits", waits), ("instants", times)):
        if not isinstance(column, bytes):
            raise TypeError(f"raw {name} must be bytes, not {shown(column)}")
        if len(column) % 8 or len(column) != len(waits):
            raise ValueError(f"{len(waits)} bytes of waits, {len(times)} of their instants")
        values = np.frombuffer(column, "<i8")
        if (values < 0).any():
            raise ValueError(f"raw {name} must not be negative, not {values.min()}")
        columns.append(values.astype("=i8").tobytes())
    return RawWaits(StoredWaits(first_sequence, *columns))
