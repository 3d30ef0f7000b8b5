"""What is printed when all tests have run."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from gilknocker._units import fitting, format_ns, format_percent
from gilknocker.integrations.pytest.limits import SHORTEST_NS
from gilknocker.reports.words import LEAST_LOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import pytest

    from gilknocker.integrations.pytest.options import Settings

__all__ = ["Record", "ranked", "write_section"]

_MOST_UNMEASURED = 10
_HEADINGS = ("held", "longest hold", "waits p50", "p99", "max", "body", "test")


@dataclass(frozen=True)
class Record:
    """One test: its name, the report of its body, the worker of pytest-xdist, its figures."""

    nodeid: str
    report: pytest.TestReport
    worker: str
    figures: dict[str, Any]

    @property
    def outcome(self) -> str:
        """How it ended, as far as that is known by now."""
        return str(self.report.outcome)

    @property
    def held_ns(self) -> float:
        """For how long the GIL was held; 0 where that is not known."""
        return float((self.figures["held_fraction"] or 0) * self.figures["body_ns"])

    @property
    def is_long_enough(self) -> bool:
        """Whether its held fraction means something."""
        looks = self.figures["looks"]
        if looks is not None and looks < LEAST_LOOKS:
            return False
        return self.figures["held_fraction"] is not None and self.figures["body_ns"] >= SHORTEST_NS


def write_section(
    reporter: pytest.TerminalReporter,
    records: Sequence[Record],
    unmeasured: Sequence[str],
    stalls: Sequence[str],
    settings: Settings,
) -> None:
    """Print the section; without --gilknocker only the rest of it, if there is any.

    Parameters
    ----------
    reporter : pytest.TerminalReporter
        Where to.
    records : sequence of Record
        The tests that were measured.
    unmeasured : sequence of str
        The tests that could not be, with the reason.
    stalls : sequence of str
        The lines about stalls.
    settings : Settings
        The options.
    """
    undecided = [
        f"{record.nodeid}: {limit['message']}"
        for record in records
        for limit in record.figures["limits"]
        if limit["state"] == "undecided"
    ]
    if not (settings.enabled or undecided or unmeasured or stalls):
        return
    reporter.section("use of the GIL (gilknocker)")
    if settings.enabled:
        for line in _table(records, settings):
            reporter.write_line(fitting(line, sys.stdout))
    for line in stalls:
        reporter.write_line(fitting(line, sys.stdout))
    if undecided:
        reporter.write_line("Limits that could not be decided:")
        for line in undecided:
            reporter.write_line(fitting(f"  {line}", sys.stdout))
    if unmeasured:
        reporter.write_line("Tests that could not be measured, nor judged by their limits:")
        for line in unmeasured[:_MOST_UNMEASURED]:
            reporter.write_line(fitting(f"  {line}", sys.stdout))
        if len(unmeasured) > _MOST_UNMEASURED:
            reporter.write_line(f"  and {len(unmeasured) - _MOST_UNMEASURED} more")


def ranked(records: Sequence[Record], sort: str) -> list[Record]:
    """Return what can be compared, the worst first.

    By the lower end of the held fraction's interval, so that what is better known comes first; in
    whole percents: of those that hold the GIL all the time, as pure Python does, the longest do.
    """
    if sort == "held":
        known = [record for record in records if record.is_long_enough]
        return sorted(known, key=_by_share, reverse=True)
    key = {"hold": "hold_max_ns", "wait": "wait_max_ns"}[sort]
    known = [record for record in records if record.figures[key]]
    return sorted(known, key=lambda record: record.figures[key], reverse=True)


def _by_share(record: Record) -> tuple[float, float]:
    return round(record.figures["held_fraction_interval"][0], 2), record.held_ns


def _table(records: Sequence[Record], settings: Settings) -> list[str]:
    if not records:
        return ["no test was measured"]
    known = ranked(records, settings.sort)
    shown = known[: settings.count or None]
    lines = []
    if shown:
        rows = [_HEADINGS, *map(_row, shown)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([*map(str.rjust, row[:-1], widths), row[-1]]) for row in rows]
    return [*lines, *_totals(records, len(known), len(shown), settings)]


def _row(record: Record) -> tuple[str, ...]:
    figures = record.figures
    hold = format_ns(figures["hold_max_ns"]) if figures["hold_max_ns"] else "-"
    if hold != "-" and not figures["hold_max_exact"]:
        hold = f"~{hold}"
    waits = (figures["wait_p50_ns"], figures["wait_p99_ns"], figures["wait_max_ns"] or None)
    fraction = figures["held_fraction"]
    return (
        "-" if fraction is None else f"{format_percent(fraction)} %",
        hold,
        *("-" if wait is None else format_ns(wait) for wait in waits),
        format_ns(figures["body_ns"], 3),
        record.nodeid,
    )


def _totals(records: Sequence[Record], known: int, shown: int, settings: Settings) -> list[str]:
    body_ns = sum(record.figures["body_ns"] for record in records)
    held_ns = sum(record.held_ns for record in records)
    methods = sorted({record.figures["method"] for record in records})
    count = f"{len(records)} test{'' if len(records) == 1 else 's'}"
    share = f", the GIL held {format_percent(held_ns / body_ns)} % of it" if body_ns else ""
    lines = [f"{count}, bodies of {format_ns(body_ns, 3)}{share}; method {', '.join(methods)}"]
    if known > shown:
        lines.append(f"{known - shown} more: --gilknocker-count=0 shows all")
    if settings.sort == "held" and known < len(records):
        lines.append(
            f"{len(records) - known} were too short for their share (fewer than {LEAST_LOOKS} "
            f"looks, or {format_ns(SHORTEST_NS)})"
        )
    if not all(record.figures["hold_max_exact"] for record in records):
        lines.append("~: the longest that a knock waited, for holds are not traced here")
    return lines
