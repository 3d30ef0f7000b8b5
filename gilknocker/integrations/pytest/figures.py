"""The figures of one test as a dict: between the processes of pytest-xdist, and in JSON."""

from __future__ import annotations

import json
import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    import pytest

    from gilknocker.integrations.pytest.limits import Verdict
    from gilknocker.integrations.pytest.meter import Reading

__all__ = ["PROPERTY", "attach", "detach", "figures_of"]

PROPERTY = "gilknocker"


def figures_of(reading: Reading, verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Return what docs/pytest.md lists: no value that JSON does not have."""
    times, waits = reading.times, reading.waits
    interval = times.held_fraction_interval
    return {
        "method": reading.method,
        "body_ns": times.observed_ns,
        "held_fraction": _number(times.held_fraction),
        "held_fraction_interval": None if interval is None else list(interval),
        "looks": None if reading.is_traced else round(reading.looks),
        "hold_max_ns": reading.longest_hold_ns,
        "hold_max_exact": reading.is_traced,
        "waits": waits.knocks,
        "wait_p50_ns": _number(waits.percentile(50)),
        "wait_p99_ns": _number(waits.percentile(99)),
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
    item.user_properties[:] = [*others, (PROPERTY, json.dumps(figures, separators=(",", ":")))]


def detach(report: pytest.TestReport) -> dict[str, Any] | None:
    """Take the figures out of a report, so that others do not tell them; None without any."""
    found = [value for name, value in report.user_properties if name == PROPERTY]
    if not found:
        return None
    report.user_properties[:] = [pair for pair in report.user_properties if pair[0] != PROPERTY]
    figures: dict[str, Any] = json.loads(str(found[-1]))
    return figures


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
