"""What the lines by which the GIL was held add to the reasons of a report.

A line is said to be in native code only if that was proven, and to give way as Python code does
only if the waits for it say so; else neither.
"""

from __future__ import annotations

from gilknocker._units import format_ns, format_percent, printable
from gilknocker.reports.reasons import (
    LEAST_KNOCKS,
    MOSTLY,
    SOME,
    TURNS,
    in_flight_ns,
    ns_beyond,
    switch_ns,
)
from gilknocker.reports.stack_lines import all_lines
from gilknocker.snapshot.stacks import FOLDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.reports.stack_lines import CostlyLine
    from gilknocker.snapshot.value import Snapshot

__all__ = ["line_reasons"]


def line_reasons(snapshot: Snapshot) -> tuple[float, str]:
    """Return the share that was proven to be native code, and a sentence on the line to blame.

    That is the line that others waited for longest; of those in native code, if much of what is to
    be explained was.
    """
    lines = [line for line in all_lines(snapshot) if line.function and line[:3] != FOLDED[0]]
    if snapshot.method == "trace":
        proven, enough = _share_of_holds(lines), MOSTLY
    else:
        proven, enough = _share_of_waits(snapshot), SOME
    native = [line for line in lines if line.native] if proven >= enough else []
    line = max(native or lines, key=lambda line: (line.waits, line.share), default=None)
    if line is None:
        return proven, ""
    which = "that held it longest" if line is lines[0] else "most waited for"
    return (
        proven,
        f" The line {which} is {printable(line.place)} ({_kind_of_code(snapshot, line)}): "
        f"{format_percent(line.share)} % of the time held{_paid(snapshot, line)}.",
    )


def _share_of_holds(lines: list[CostlyLine]) -> float:
    """Return the share of the time held by lines that were proven to be in native code."""
    return sum(line.share for line in lines if line.native)


def _share_of_waits(snapshot: Snapshot) -> float:
    """Return of the time that knocks waited beyond two turns the share proven to be native code.

    A hold is proven to be of native code from the second switch interval on that somebody waits
    for it: what is before that is no part of either time. Whether a knock waited at those very
    looks is not kept: it waited at that share of a stack's, and rather at those.
    """
    turns = TURNS * switch_ns(snapshot)
    beyond = max(in_flight_ns(snapshot) - turns, 0.0) + sum(
        count * max((lower + upper) / 2 - turns, 0.0) for lower, upper, count in snapshot.histogram
    )
    stacks = snapshot._stacks or ()
    native = sum(native * waited / held for *_, held, waited, native, _ in stacks if held)
    return min(native / beyond, 1.0) if beyond else 0.0


def _paid(snapshot: Snapshot, line: CostlyLine) -> str:
    if not line.waits:
        return ""
    if snapshot.method == "trace":
        paid = f"; others waited {format_ns(line.waits * snapshot.waited_ns)} for that"
        if line.retaken < SOME * line.waits:
            return paid
        after = format_ns(line.retaken * snapshot.waited_ns)
        return f"{paid}, {after} of it after it had taken the GIL back"
    return f"; {format_percent(line.waits)} % of the waits were for it"


def _kind_of_code(snapshot: Snapshot, line: CostlyLine) -> str:
    if line.native:
        return "in native code"
    turns = TURNS * switch_ns(snapshot)
    if snapshot.method == "trace":
        long_ns, all_ns = ns_beyond(snapshot.hold_histogram, turns), line.share * snapshot.held_ns
        asked = snapshot.knocks > 0
    else:
        long_ns = ns_beyond(snapshot.histogram, turns)
        all_ns = line.waits * snapshot.wait_total_ns
        asked = snapshot.knocks >= LEAST_KNOCKS and line.waits >= MOSTLY
    if asked and long_ns < SOME * all_ns:
        return "it gives way as Python code does"
    return "not proven to be native code"
