"""What is written at tests: limits, and how to measure. The nearest mark of a kind wins."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gilknocker._checks import checked_real, shown
from gilknocker._durations import parse_duration
from gilknocker.integrations.pytest.limits import Limit
from gilknocker.integrations.pytest.options import MAX_INTERVAL_MICROS, METHODS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TypeVar

    _T = TypeVar("_T")

__all__ = ["Knocker", "check", "knocker_of", "limits_of"]


@dataclass(frozen=True)
class Knocker:
    """What ``@pytest.mark.gil_knocker`` says, None where it says nothing."""

    interval_micros: int | None = None
    knock_interval_micros: int | None = None
    method: str | None = None


# These have the names and the parameters of the marks: Python's own messages tell of wrong ones.
def limit_gil_hold(limit: str | None) -> Limit | None:
    """Return the limit, None for none."""
    return None if limit is None else Limit("limit_gil_hold", ns=parse_duration("limit", limit))


def limit_gil_wait(limit: str | None, percentile: float = 99) -> Limit | None:
    """Return the limit, None for none."""
    allowed = "a real number greater than 0 and at most 100"
    share = checked_real("percentile", percentile, allowed)
    if not 0 < share <= 100:
        raise ValueError(f"percentile must be {allowed}, not {shown(percentile)}")
    if limit is None:
        return None
    return Limit("limit_gil_wait", ns=parse_duration("limit", limit), percentile=share)


def limit_gil_contention(limit: float | None) -> Limit | None:
    """Return the limit, None for none."""
    if limit is None:
        return None
    allowed = "a share of the time, a real number from 0 to 1"
    share = checked_real("limit", limit, allowed)
    if not 0 <= share <= 1:
        raise ValueError(f"limit must be {allowed}, not {shown(limit)}")
    return Limit("limit_gil_contention", share=share)


def gil_knocker(
    *,
    interval_micros: int | None = None,
    knock_interval_micros: int | None = None,
    method: str | None = None,
) -> Knocker:
    """Return what was given."""
    if method is not None and method not in METHODS:
        raise ValueError(f"method must be auto, knock or trace, not {shown(method)}")
    return Knocker(
        _micros("interval_micros", interval_micros),
        _micros("knock_interval_micros", knock_interval_micros),
        method,
    )


LIMITS = (limit_gil_hold, limit_gil_wait, limit_gil_contention)


def limits_of(item: pytest.Item) -> tuple[Limit, ...]:
    """Return what a test must keep to.

    Raises
    ------
    pytest.UsageError
        If a mark of it has a bad value.
    """
    found = (_nearest(item, kind) for kind in LIMITS)
    return tuple(limit for limit in found if limit is not None)


def knocker_of(item: pytest.Item) -> Knocker:
    """Return how a test is to be measured, as far as it says.

    Raises
    ------
    pytest.UsageError
        If its mark has a bad value.
    """
    return _nearest(item, gil_knocker) or Knocker()


def check(items: Iterable[pytest.Item]) -> None:
    """Raise pytest.UsageError if a mark of a test has a bad value."""
    for item in items:
        limits_of(item)
        knocker_of(item)


def _nearest(item: pytest.Item, kind: Callable[..., _T]) -> _T | None:
    mark = item.get_closest_marker(kind.__name__)
    if mark is None:
        return None
    try:
        return kind(*mark.args, **mark.kwargs)
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{item.nodeid}: mark {kind.__name__}: {error}") from None


def _micros(name: str, value: int | None) -> int | None:
    allowed = f"an integer from 1 to {MAX_INTERVAL_MICROS}"
    if value is None:
        return None
    if type(value) is not int:
        raise TypeError(f"{name} must be {allowed}, not {shown(value)}")
    if not 1 <= value <= MAX_INTERVAL_MICROS:
        raise ValueError(f"{name} must be {allowed}, not {shown(value)}")
    return value
