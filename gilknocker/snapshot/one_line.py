"""A snapshot in one line."""

from __future__ import annotations

import sys

from gilknocker._units import fitting, format_ns, format_percent
from gilknocker.snapshot.fields import is_exact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.snapshot.value import Snapshot


def describe(snapshot: Snapshot) -> str:
    """Return the line that ``str(snapshot)`` is."""
    line = f"{_held(snapshot)}; {_waits(snapshot)}; method {_method(snapshot)}"
    return fitting(line, sys.stdout)  # it is most often printed


def _method(snapshot: Snapshot) -> str:
    """Return the method, and how much of the time it is true of, if not of all."""
    if snapshot.method != "count" or is_exact(snapshot):
        return snapshot.method
    share = format_percent(snapshot.counted_ns / snapshot.observed_ns)
    return f"count, {share} % of the time"


def _held(snapshot: Snapshot) -> str:
    if snapshot.method == "trace":
        return _traced(snapshot)
    ticks = f"{snapshot.ticks_late} late, {snapshot.ticks_missed} missed"
    if snapshot.gil_enabled == "mixed":
        ticks += f", {snapshot.ticks_disabled} without a GIL"
    over = f"over {format_ns(snapshot.observed_ns, digits=3)}"
    if snapshot.ticks or snapshot.method != "count":
        over += f", {snapshot.ticks} ticks ({ticks})"
    fraction, interval = snapshot.held_fraction, snapshot.held_fraction_interval
    if fraction is None or interval is None:
        return f"no GIL {over}"
    if fraction != fraction:  # NaN
        return f"held unknown {over}"
    if is_exact(snapshot):
        return f"held {format_percent(fraction)} % {over}"
    low, high = map(format_percent, interval)
    return f"held {format_percent(fraction)} % ({low}-{high}) {over}"


def _traced(snapshot: Snapshot) -> str:
    over = format_ns(snapshot.observed_ns, digits=3)
    fraction = snapshot.held_fraction
    if fraction is None or not snapshot.observed_ns:
        return f"held unknown over {over}"
    at_most = "" if snapshot.hold_max_exact else "<= "
    longest = f"max {at_most}{format_ns(snapshot.hold_max_ns)}"
    return f"held {format_percent(fraction)} % over {over}, {snapshot.holds} holds, {longest}"


def _waits(snapshot: Snapshot) -> str:
    traced = snapshot.method == "trace"
    noun = "waits" if traced else "knocks waited"
    if not snapshot.knocks:
        text = "no waits" if traced else "no knocks answered"
    else:
        at_most = "" if snapshot.wait_max_exact else "<= "
        text = (
            f"{snapshot.knocks} {noun} p50 {format_ns(snapshot.percentile(50))}, "
            f"p99 {format_ns(snapshot.percentile(99))}, "
            f"max {at_most}{format_ns(snapshot.wait_max_ns)}"
        )
    if snapshot.in_flight_ns > snapshot.wait_max_ns:  # news: longer than any that ended
        text += f", one still waiting after {format_ns(snapshot.in_flight_ns)}"
    return text
