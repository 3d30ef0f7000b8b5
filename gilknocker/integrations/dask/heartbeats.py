"""What a heartbeat tells of a worker's GIL, and those of many workers summed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilknocker._checks import NAN
from gilknocker.snapshot.histogram import WaitHistogram, bucket_bounds, bucket_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from gilknocker.meters.totals import Totals

__all__ = ["HeartbeatSum", "HeartbeatTotals", "Measured", "heartbeat"]

# Of the histogram's buckets: so many go into one. It is at most 1/8 as wide as its waits, and there
# are at most 472 of them. The fourth stands for all eight: it is no more than 1/16 of any wait away
# from that, which the fifth would be from the shortest.
_COARSE = 8
_MIDDLE = 3


class HeartbeatTotals(NamedTuple):
    """What heartbeats told of a cluster's GILs, until each worker's last.

    Attributes
    ----------
    workers : int
        How many there are that have told.
    lost : int
        How many had told and are gone; their numbers are in, until their last heartbeat.
    held_seconds, observed_seconds : float
        For how long their GILs were held, and were watched, s.
    knocks : int
        How often the GIL was asked for.
    wait_max_ns : int
        The longest of these waits, ns.
    histogram : WaitHistogram
        Of these waits, coarse: a wait is at most 1/16 off (or 4 ns, if it is shorter than 64).
    """

    workers: int
    lost: int
    held_seconds: float
    observed_seconds: float
    knocks: int
    wait_max_ns: int
    histogram: WaitHistogram

    @property
    def held_fraction(self) -> float:
        """The mean of the workers' held fractions, by time: 0 to 1, NaN before any time."""
        return self.held_seconds / self.observed_seconds if self.observed_seconds else NAN

    def percentile(self, p: float) -> float:
        """Return the wait that `p` percent of the knocks did not exceed, ns: at most 1/16 off."""
        return self.histogram.percentile(p, max_ns=self.wait_max_ns)


class HeartbeatSum:
    """Numbers of heartbeats, each of another worker, added up in constant memory."""

    def __init__(self) -> None:
        self._held = self._observed = 0.0
        self._knocks = self._longest = 0
        self._counts: dict[int, int] = {}

    def add(self, beat: Mapping[str, Any]) -> None:
        """Take in what a worker told last: all its time so far."""
        self._held += beat["held_seconds"]
        self._observed += beat["observed_seconds"]
        self._knocks += beat["knocks"]
        self._longest = max(self._longest, beat["wait_max_ns"])
        for coarse, count in _counts(beat["waits"]):
            self._counts[coarse] = self._counts.get(coarse, 0) + count

    def __add__(self, other: HeartbeatSum) -> HeartbeatSum:
        """Return both together."""
        both = HeartbeatSum()
        for one in (self, other):
            both._held += one._held
            both._observed += one._observed
            both._knocks += one._knocks
            both._longest = max(both._longest, one._longest)
            for coarse, count in one._counts.items():
                both._counts[coarse] = both._counts.get(coarse, 0) + count
        return both

    def totals(self, workers: int, lost: int) -> HeartbeatTotals:
        """Return them as a value."""
        middles = [_COARSE * coarse + _MIDDLE for coarse in sorted(self._counts)]
        counts = (self._counts[bucket // _COARSE] for bucket in middles)
        buckets = [(*bucket_bounds(b), n) for b, n in zip(middles, counts, strict=True)]
        return HeartbeatTotals(
            workers,
            lost,
            self._held,
            self._observed,
            self._knocks,
            self._longest,
            WaitHistogram.from_buckets(buckets),
        )


class Measured(NamedTuple):
    """What heartbeats tell of a knocker."""

    held_seconds: float
    observed_seconds: float
    knocks: int
    wait_max_ns: int
    histogram: WaitHistogram

    @classmethod
    def of(cls, totals: Totals) -> Measured:
        """Return what it has measured so far."""
        total = totals.snapshot()
        return cls(
            totals.held_seconds(total),
            total.observed_seconds,
            total.knocks,
            total.wait_max_ns,
            total.histogram,
        )

    def and_then(self, later: Measured) -> Measured:
        """Return both together."""
        return Measured(
            self.held_seconds + later.held_seconds,
            self.observed_seconds + later.observed_seconds,
            self.knocks + later.knocks,
            max(self.wait_max_ns, later.wait_max_ns),
            self.histogram + later.histogram,
        )


def heartbeat(number: str, totals: Totals, before: Measured | None = None) -> dict[str, Any]:
    """Return what a worker's heartbeat takes along: all its time so far, so that none is missed.

    Parameters
    ----------
    number : str
        Of the worker's meter: who has another one has begun anew.
    totals : Totals
        What its knocker measured.
    before : Measured, optional
        What those that it replaced had measured.

    Returns
    -------
    dict
        ``id``, ``held_seconds``, ``observed_seconds``, ``knocks``, ``wait_p99_ns``,
        ``wait_max_ns``, and ``waits``: their histogram, ``"bucket:count ..."`` of groups of eight
        of `WaitHistogram`'s buckets. Text, for Dask shows heartbeats as JSON too.
    """
    all_of_it = Measured.of(totals)
    if before is not None:
        all_of_it = before.and_then(all_of_it)
    held, observed, knocks, longest, histogram = all_of_it
    return {
        "id": number,
        "held_seconds": held,
        "observed_seconds": observed,
        "knocks": knocks,
        "wait_p99_ns": round(histogram.percentile(99, max_ns=longest)) if knocks else None,
        "wait_max_ns": longest,
        "waits": _as_text(histogram),
    }


def _as_text(histogram: WaitHistogram) -> str:
    counts: dict[int, int] = {}
    for lower, _, count in histogram:
        coarse = bucket_of(lower) // _COARSE
        counts[coarse] = counts.get(coarse, 0) + count
    return " ".join(f"{coarse}:{count}" for coarse, count in counts.items())


def _counts(waits: str) -> Iterable[tuple[int, int]]:
    for word in waits.split():
        coarse, _, count = word.partition(":")
        yield int(coarse), int(count)
