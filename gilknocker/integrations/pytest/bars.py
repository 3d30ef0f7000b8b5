"""A distribution of times in a few lines of text."""

from __future__ import annotations

from gilknocker._units import format_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["bars"]

_WIDTH = 40


def bars(histogram: Iterable[tuple[int, int, int]]) -> list[str]:
    """Return a line for each power of ten between the shortest and the longest: ASCII.

    Parameters
    ----------
    histogram : iterable of (int, int, int)
        What iterating over a `WaitHistogram` gives: bounds in ns, and a count.
    """
    counts: dict[int, int] = {}
    for lower, _, count in histogram:
        power = len(str(lower))  # lower < 10**power
        counts[power] = counts.get(power, 0) + count
    if not counts:
        return []
    rows = range(min(counts), max(counts) + 1)
    most, digits = max(counts.values()), len(str(max(counts.values())))
    return [
        f"< {format_ns(10**power, digits=1):>6}  {counts.get(power, 0):>{digits}}  "
        f"{'#' * -(-_WIDTH * counts.get(power, 0) // most)}".rstrip()
        for power in rows
    ]
