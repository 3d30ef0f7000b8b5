"""What a thread would have waited for the GIL, whenever in a body it had asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilknocker import Snapshot

__all__ = ["Waits"]

# For so many instants of one wait each has a value of its own; a longer one is told by as many.
_MOST_POINTS = 100


@dataclass(frozen=True)
class Waits:
    """The knocks of one body: what lies before it and after it is cut off.

    One that waits keeps others from being made, so that long waits are too few: the more so, the
    denser knocks are. Each instant at which one would have been due counts here, with what a thread
    would have waited that asked there. That is between the knock before it and the one after: in
    one long hold it falls to nothing until the hold ends, in a queue of threads, or before Python
    code that is to give the GIL up, it is the same at any time. So it is taken to change evenly
    from one knock to the next, and to be no less than what was left of the wait.

    Attributes
    ----------
    spans : tuple of (int, int)
        When each asked, and when it got the GIL, or when the body was over: ns, in order.
    interval_ns : int
        How far apart knocks were meant to be.
    """

    spans: tuple[tuple[int, int], ...]
    interval_ns: int

    @classmethod
    def of(cls, snapshot: Snapshot) -> Waits:
        """Return those of a snapshot of a sampler that has its raw waits.

        The one in flight is among them if it came to be longer than an interval: of another nobody
        knows how long it will be.
        """
        start, end = snapshot.start_ns, snapshot.end_ns
        pairs = [] if snapshot._raw is None else snapshot._raw.pairs()
        spans = [(max(asked, start), asked + wait) for asked, wait in pairs if asked + wait > start]
        interval = snapshot.knock_interval_ns or 1
        if snapshot.in_flight_ns > interval:
            spans.append((max(end - snapshot.in_flight_ns, start), end))
        return cls(tuple(spans), interval)

    @property
    def longest_ns(self) -> int:
        """The longest; 0 without any."""
        return max((end - start for start, end in self.spans), default=0)

    @property
    def instants(self) -> int:
        """At how many instants it is known what a thread would have waited."""
        return sum(count for _, count in self._points())

    def percentile(self, p: float) -> float:
        """Return what a thread would not have waited longer than at `p` percent of the instants.

        In ns; NaN without any.
        """
        points = sorted(self._points())
        rank = p / 100 * sum(count for _, count in points)
        for wait, count in points:
            rank -= count
            if rank <= 1e-9:  # but for rounding
                return wait
        return points[-1][0] if points else float("nan")

    def exceeding(self, ns: int) -> int:
        """Return how many knocks waited longer than `ns`."""
        return sum(end - start > ns for start, end in self.spans)

    def within(self, start: int, end: int) -> int:
        """Return the longest that one knock waited between two instants, ns."""
        shared = (min(end, got) - max(start, asked) for asked, got in self.spans)
        return max([0, *shared])

    def _points(self) -> Iterator[tuple[float, int]]:
        """Yield a wait, and at how many instants it would have been that."""
        for (asked, got), after in zip_longest(self.spans, self.spans[1:]):
            wait = got - asked
            yield wait, 1
            missed = (wait - 1) // self.interval_ns
            step = max(missed / _MOST_POINTS, 1)
            next_asked, next_wait = (got, 0) if after is None else (after[0], after[1] - after[0])
            done = 0
            while done < missed:
                count = min(round(step), missed - done)
                at = (done + (count + 1) / 2) * self.interval_ns
                done += count
                changed = (next_wait - wait) * at / max(next_asked - asked, 1)
                yield max(wait + changed, wait - at), count
