"""The report as a JSON file: docs/json.md says what is in it."""

from __future__ import annotations

import json
import sys

from gilknocker import __version__
from gilknocker._checks import MAX_INT64, shown
from gilknocker.commands.options import UsageError
from gilknocker.reports.run import Run
from gilknocker.snapshot.value import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilknocker.reports.processes import MeasuredProcess
    from gilknocker.snapshot.thread_times import ThreadTimes

__all__ = ["FORMAT", "VERSION", "content", "envelope", "load"]

FORMAT = "gilknocker.report"
VERSION = 1


def envelope(run: Run) -> dict[str, Any]:
    """Return what is stored of a run: a dict for ``json.dump``."""
    processes = [process.stored() for process in run.processes]
    return {
        "format": FORMAT,
        "version": VERSION,
        "gilknocker": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "program": list(run.program),
        "exit_status": run.exit_status,
        "children": run.children,
        "children_cpu_ns": run.children_cpu_ns,
        "snapshot": run.snapshot.to_dict(),
        "threads": [thread._asdict() for thread in run.threads],
        **({"processes": processes} if processes else {}),
    }


def content(run: Run) -> str:
    """Return what a report's file holds."""
    return json.dumps(envelope(run), indent=1) + "\n"


def load(path: str) -> Run:
    """Read a report, or a bare snapshot as ``Snapshot.to_dict`` makes it: a run of no program.

    Raises
    ------
    UsageError
        If the file cannot be read, or is something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        raise UsageError(f"cannot read {path!r}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError are such
        raise UsageError(f"{path!r} is no JSON: {error}") from None
    try:
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return Run(Snapshot.from_dict(data))
        return _run(data)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path!r} is no report of gilknocker: {error}") from None


def _run(data: dict[str, Any]) -> Run:
    if type(data.get("version")) is not int or data["version"] != VERSION:
        raise ValueError(f"version must be {VERSION}, not {shown(data.get('version'))}")
    program, status = data.get("program"), data.get("exit_status")
    if not isinstance(program, list) or not all(isinstance(word, str) for word in program):
        raise TypeError(f"program must be a list of strings, not {shown(program)}")
    if status is not None and type(status) is not int:
        raise TypeError(f"exit_status must be an integer or null, not {shown(status)}")
    for name in ("children", "children_cpu_ns"):  # which 1.0 has not
        value = data.get(name, 0)
        if type(value) is not int:
            raise TypeError(f"{name} must be an integer, not {shown(value)}")
        if not 0 <= value <= MAX_INT64:
            raise ValueError(f"{name} must be from 0 to 2**63 - 1, not {shown(value)}")
    if "snapshot" not in data:
        raise ValueError("it must have the key 'snapshot'")
    return Run(
        Snapshot.from_dict(data["snapshot"]),
        program,
        status,
        threads=_threads(data.get("threads", [])),
        children_cpu_ns=data.get("children_cpu_ns", 0),
        children=data.get("children", 0),
        processes=_processes(data.get("processes", [])),
    )


def _threads(rows: Any) -> list[ThreadTimes]:
    if not isinstance(rows, list):
        raise TypeError(f"threads must be a list, not {shown(rows)}")
    if not rows:
        return []
    from gilknocker.snapshot.thread_times import ThreadTimes

    return [ThreadTimes.from_dict(row) for row in rows]


def _processes(rows: Any) -> list[MeasuredProcess]:
    if not isinstance(rows, list):
        raise TypeError(f"processes must be a list, not {shown(rows)}")
    if not rows:
        return []
    from gilknocker.reports.processes import MeasuredProcess

    return [MeasuredProcess.from_stored(row) for row in rows]
