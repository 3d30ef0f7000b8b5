"""The processes of a program: a table, which was worst, and what was not measured."""

from __future__ import annotations

import os
import signal
from typing import NamedTuple

from gilknocker._units import format_count, format_ns, format_percent, printable
from gilknocker.reports.reasons import LEAST_LOOKS
from gilknocker.snapshot.value import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["HEADS", "MeasuredProcess", "process_lines", "process_rows", "worst"]

MOST_PROCESSES = 30
HEADS = ("process", "pid", "seconds", "held", "waited", "CPU", "exit")
_NAME_LENGTH = 36
# How multiprocessing starts what is not a fork: by -c and one of these.
_ROLES = (
    ("from multiprocessing.spawn ", "multiprocessing (spawn)"),
    ("from multiprocessing.forkserver ", "multiprocessing (forkserver)"),
    ("from multiprocessing.resource_tracker ", "multiprocessing (tracker)"),
)


class MeasuredProcess(NamedTuple):
    """One program in one process, watched from outside.

    Attributes
    ----------
    pid, ppid : int
        Its number and its parent's.
    command : list of str
        Its command line.
    forked : bool
        Whether it began as a copy of its parent.
    replaced : bool
        Whether another program took its place: a row of its own.
    runs_on : bool
        Whether it was still there when the first one ended.
    exit_status : int or None
        As ``subprocess`` has it; None if that is not known.
    cpu_ns : int
        The CPU time it used, as last seen, ns.
    waited_ns : int
        How long its threads waited for the GIL, in all, ns; looked for every 20 ms.
    problem : str
        Why it was not measured; "" if it was.
    snapshot : Snapshot or None
        What was measured.
    """

    pid: int
    ppid: int
    command: list[str]
    forked: bool
    replaced: bool
    runs_on: bool
    exit_status: int | None
    cpu_ns: int
    waited_ns: int
    problem: str
    snapshot: Snapshot | None

    @property
    def name(self) -> str:
        """What to call it: its program, or its role."""
        if self.forked:
            return f"fork of {self.ppid}"
        words = self.command
        if words and os.path.basename(words[0]).startswith("python"):
            for role, name in _ROLES:
                if any(word.startswith(role) for word in words[1:]):
                    return name
            words = words[1:]
        name = printable(" ".join(words)) or "unknown"
        return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 3]}..."

    @property
    def end(self) -> str:
        """How it ended, in a word."""
        if self.replaced:
            return "exec"
        if self.runs_on:
            return "runs on"
        if self.exit_status is None:
            return "?"
        if self.exit_status >= 0:
            return str(self.exit_status)
        try:
            return signal.Signals(-self.exit_status).name
        except ValueError:
            return f"signal {-self.exit_status}"

    def stored(self) -> dict[str, Any]:
        """Return it for ``json.dump``."""
        snapshot = None if self.snapshot is None else self.snapshot.to_dict()
        return {**self._asdict(), "name": self.name, "snapshot": snapshot}

    @classmethod
    def from_stored(cls, value: Any) -> MeasuredProcess:
        """Return what `stored` made.

        Raises
        ------
        TypeError, ValueError
            If it is something else.
        """
        if not isinstance(value, dict) or not set(cls._fields) <= set(value):
            raise ValueError(f"each of processes must have the keys {', '.join(cls._fields)}")
        fields = {name: value[name] for name in cls._fields}
        for name, kinds in _KINDS.items():
            if type(fields[name]) not in kinds:
                allowed = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
                raise TypeError(f"{name} of a process must be {allowed}, not {fields[name]!r}")
        if not all(isinstance(word, str) for word in fields["command"]):
            raise TypeError("command of a process must be a list of strings")
        stored = fields["snapshot"]
        fields["snapshot"] = None if stored is None else Snapshot.from_dict(stored)
        return cls(**fields)


_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("pid", "ppid", "cpu_ns", "waited_ns"), (int,)),
    **dict.fromkeys(("forked", "replaced", "runs_on"), (bool,)),
    "command": (list,),
    "problem": (str,),
    "exit_status": (int, type(None)),
    "snapshot": (dict, type(None)),
}


def worst(processes: Sequence[MeasuredProcess]) -> MeasuredProcess | None:
    """Return the process whose GIL was held for most of its time; None of one alone."""
    sure = [
        (one.snapshot.held_fraction or 0.0, one)
        for one in processes
        if one.snapshot is not None and one.snapshot.ticks >= LEAST_LOOKS
    ]
    return max(sure, key=lambda pair: pair[0])[1] if len(sure) > 1 else None


def process_rows(processes: Sequence[MeasuredProcess]) -> list[tuple[str, ...]]:
    """Return a row for each process that was measured, by `HEADS`."""
    rows: list[tuple[str, ...]] = []
    for one in processes:
        if one.snapshot is None:
            continue
        rows.append(
            (
                one.name,
                str(one.pid),
                f"{one.snapshot.observed_seconds:.2f}",
                f"{format_percent(one.snapshot.held_fraction or 0.0)} %",
                format_ns(one.waited_ns),
                format_ns(one.cpu_ns),
                one.end,
            )
        )
    return rows


def process_lines(processes: Sequence[MeasuredProcess]) -> list[str]:
    """Return the table as text, the worst, and what was not measured."""
    rows = process_rows(processes)
    if not rows:
        return []
    shown = [HEADS, *rows[:MOST_PROCESSES]]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    lines = [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in shown
    ]
    if len(rows) > MOST_PROCESSES:
        lines.append(f"  and {format_count(len(rows) - MOST_PROCESSES, 'process')} more")
    if (one := worst(processes)) is not None and one.snapshot is not None:
        held = format_percent(one.snapshot.held_fraction or 0.0)
        lines.append(f"  worst     {one.name} ({one.pid}): its GIL was held {held} % of the time")
    return lines + _unmeasured(processes)


def _unmeasured(processes: Sequence[MeasuredProcess]) -> list[str]:
    missed = [one for one in processes if one.snapshot is None]
    if not missed:
        return []
    cpu = format_ns(sum(one.cpu_ns for one in missed))
    kinds = sorted({one.problem.replace(f"process {one.pid} ", "it ") for one in missed})
    lines = [f"  not measured: {format_count(len(missed), 'process')} that used {cpu} of CPU time:"]
    return lines + [f"    {printable(kind)}" for kind in kinds[:3]]
