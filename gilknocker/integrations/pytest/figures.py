"""The figures of one test as a dict: between the processes of pytest-xdist, and in JSON."""

from __future__ import annotations

import math
from contextlib import contextmanager
from json import JSONDecoder, JSONEncoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    import pytest

    from gilknocker.integrations.pytest.limits import Verdict
    from gilknocker.integrations.pytest.meter import Reading

__all__ = ["PROPERTY", "attach", "figures_of", "forget", "hidden", "is_figures", "of"]

# Nobody else's: tests call properties by the names of packages, to note their versions.
PROPERTY = "_gilknocker_figures"
_TIMES = ("method", "body_ns", "held_fraction", "held_fraction_interval", "looks")
_HOLDS_AND_WAITS = ("hold_max_ns", "hold_max_exact", "waits", "wait_p50_ns", "wait_p99_ns")
_KEYS = frozenset((*_TIMES, *_HOLDS_AND_WAITS, "wait_max_ns", "limits"))
_LIMIT_KEYS = frozenset(("name", "limit", "figure", "state", "message"))
# Made now: a test may replace what the module has.
_encode = JSONEncoder(separators=(",", ":")).encode
_decode = JSONDecoder().decode


def figures_of(reading: Reading, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Return what docs/pytest.md lists: no value that JSON does not have."""
    times, waits = reading.times, reading.waits
    interval = times.held_fraction_interval
    return {
        "method": reading.method,
        "body_ns": times.observed_ns,
        "held_fraction": _number(times.held_fraction),
        "held_fraction_interval": None if interval is None else list(interval),
        "looks": None if reading.is_exact else round(reading.looks),
        "hold_max_ns": reading.longest_hold_ns,
        "hold_max_exact": reading.traced is not None,
        "waits": waits.knocks,
        "wait_p50_ns": _number(reading.percentile(50)),
        "wait_p99_ns": _number(reading.percentile(99)),
        "wait_max_ns": reading.longest_wait_ns,
        "limits": [
            {
                "name": verdict.limit.name,
                "limit": verdict.limit.ns or verdict.limit.share,
                "figure": _number(verdict.figure),
                "state": verdict.state,
                "message": verdict.message.partition("\n")[0],
            }
            for verdict in verdicts
        ],
    }


def is_figures(value: object) -> bool:
    """Whether it is what `figures_of` returns: it has all of its keys, and may have more."""
    return (
        isinstance(value, dict)
        and value.keys() >= _KEYS
        and isinstance(value["limits"], list)
        and all(isinstance(one, dict) and one.keys() >= _LIMIT_KEYS for one in value["limits"])
    )


def attach(item: pytest.Item, figures: dict[str, Any]) -> None:
    """Put the figures where pytest's reports take them from, as one string; once a test."""
    forget(item)
    item.user_properties.append((PROPERTY, _encode(figures)))


def forget(item: pytest.Item) -> None:
    """Take the figures of an earlier run of the test away from it."""
    _take_ours(item)


def of(report: pytest.TestReport) -> dict[str, Any] | None:
    """Return the figures in a report; None without any."""
    found = None
    for pair in _pairs(report):
        found = _decoded(pair) or found
    return found


@contextmanager
def hidden(report: pytest.TestReport) -> Iterator[None]:
    """Let nobody else see the figures in a report, such as JUnit XML; it may be logged again."""
    ours = _take_ours(report)
    try:
        yield
    finally:
        if ours:
            report.user_properties += ours  # to what others may have added meanwhile


def _take_ours(where: pytest.Item | pytest.TestReport) -> list[tuple[str, object]]:
    """Take our pairs out, and return them; what has none of them is not touched."""
    pairs = _pairs(where)
    ours: list[tuple[str, object]] = []
    others: list[Any] = []
    for pair in pairs:
        (others if _decoded(pair) is None else ours).append(pair)
    if ours:
        pairs[:] = others
    return ours


def _pairs(where: pytest.Item | pytest.TestReport) -> list[Any]:
    """Return the properties; others log reports of their own kinds, which need not have any."""
    pairs = getattr(where, "user_properties", None)
    return pairs if isinstance(pairs, list) else []


def _decoded(pair: object) -> dict[str, Any] | None:
    """Return the figures in a property; None if it is somebody else's, whatever that is."""
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        return None
    name, text = pair
    if not (isinstance(name, str) and name == PROPERTY and isinstance(text, str)):
        return None
    try:
        figures = _decode(text)
    except (ValueError, RecursionError):
        return None
    return figures if is_figures(figures) else None


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
