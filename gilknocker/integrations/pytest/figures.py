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

__all__ = ["PROPERTY", "attach", "figures_of", "forget", "hidden", "of"]

PROPERTY = "gilknocker"
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


def attach(item: pytest.Item, figures: dict[str, Any]) -> None:
    """Put the figures where pytest's reports take them from, as one string; once a test."""
    others = [pair for pair in item.user_properties if pair[0] != PROPERTY]
    item.user_properties[:] = [*others, (PROPERTY, _encode(figures))]


def forget(item: pytest.Item) -> None:
    """Take the figures of an earlier run of the test away from it."""
    item.user_properties[:] = [pair for pair in item.user_properties if pair[0] != PROPERTY]


def of(report: pytest.TestReport) -> dict[str, Any] | None:
    """Return the figures in a report; None without any."""
    found = [value for name, value in report.user_properties if name == PROPERTY]
    return _decode(str(found[-1])) if found else None


@contextmanager
def hidden(report: pytest.TestReport) -> Iterator[None]:
    """Let nobody else see the figures in a report, such as JUnit XML; it may be logged again."""
    ours = [pair for pair in report.user_properties if pair[0] == PROPERTY]
    report.user_properties[:] = [pair for pair in report.user_properties if pair[0] != PROPERTY]
    try:
        yield
    finally:
        report.user_properties += ours  # to what others may have added meanwhile


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
