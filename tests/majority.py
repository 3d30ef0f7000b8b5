"""What holds in most windows: in one of them the host may have taken a CPU away."""

from __future__ import annotations

from collections.abc import Callable

MAJORITY = 2  # of three


def mostly_within(miss: Callable[[], float]) -> None:
    """Check that the median of three is not positive, of by how much a bound is exceeded."""
    misses: list[float] = []
    while sum(one <= 0 for one in misses) < MAJORITY:
        assert sum(one > 0 for one in misses) < MAJORITY, misses
        misses.append(miss())
