"""The report as a JSON file: docs/json.md says what is in it."""

from __future__ import annotations

import json
import sys

from gilknocker import __version__
from gilknocker._checks import MAX_INT64, shown
from gilknocker.commands.options import UsageError
from gilknocker.snapshot.value import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from gilknocker.reports.processes import MeasuredProcess
    from gilknocker.snapshot.thread_times import ThreadTimes

__all__ = ["FORMAT", "VERSION", "content", "envelope", "load"]

FORMAT = "gilknocker.report"
VERSION = 1


def envelope(
    snapshot: Snapshot,
    program: list[str],
    exit_status: int | None,
    threads: Sequence[ThreadTimes] = (),
    children_cpu_ns: int = 0,
    processes: Sequence[MeasuredProcess] = (),
    children: int = 0,
) -> dict[str, Any]:
    """Return what is stored of a run: a dict for ``json.dump``."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "gilknocker": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "program": program,
        "exit_status": exit_status,
        "children": children,
        "children_cpu_ns": children_cpu_ns,
        "snapshot": snapshot.to_dict(),
        "threads": [thread._asdict() for thread in threads],
        **({"processes": [process.stored() for process in processes]} if processes else {}),
    }


def content(
    snapshot: Snapshot,
    program: list[str],
    exit_status: int | None,
    threads: Sequence[ThreadTimes] = (),
    children_cpu_ns: int = 0,
    processes: Sequence[MeasuredProcess] = (),
    children: int = 0,
) -> str:
    """Return what a report's file holds."""
    stored = envelope(snapshot, program, exit_status, threads, children_cpu_ns, processes, children)
    return json.dumps(stored, indent=1) + "\n"


def load(path: str) -> tuple[dict[str, Any], Snapshot]:
    """Read a report, or a bare snapshot as ``Snapshot.to_dict`` makes it.

    Returns
    -------
    envelope, snapshot : dict, Snapshot
        The envelope without its snapshot; empty for a bare snapshot.

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
        stored = _checked_envelope(data)
        return stored, Snapshot.from_dict(stored.pop("snapshot", data))
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path!r} is no report of gilknocker: {error}") from None


def _checked_envelope(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        return {}
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
    return {
        **data,
        "threads": _threads(data.get("threads", [])),
        "processes": _processes(data.get("processes", [])),
    }


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
