"""The report as a JSON file: docs/json.md says what is in it."""

from __future__ import annotations

import errno
import json
import os
import sys

from gilknocker import __version__
from gilknocker._checks import shown
from gilknocker.cli import UsageError
from gilknocker.snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["FORMAT", "VERSION", "ReportFile", "envelope", "load"]

FORMAT = "gilknocker.report"
VERSION = 1


def envelope(snapshot: Snapshot, program: list[str], exit_status: int) -> dict[str, Any]:
    """Return what is stored of a run: a dict for ``json.dump``."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "gilknocker": __version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "program": program,
        "exit_status": exit_status,
        "snapshot": snapshot.to_dict(),
    }


class ReportFile:
    """Where a report will be written, whole or not at all.

    Parameters
    ----------
    path : str
        The file. What is no regular file (a pipe, /dev/stdout) is written to as it is; else a file
        beside it is written first and renamed.

    Raises
    ------
    UsageError
        If nothing can be written there, as was tried.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._in_place = os.path.exists(path) and not os.path.isfile(path)
        # Of now: the program may go to another folder. The file itself, not a link to it.
        self._target = os.path.abspath(path) if self._in_place else os.path.realpath(path)
        self._scratch = f"{self._target}.{os.getpid()}.tmp"
        try:
            self._try()
        except OSError as error:
            raise UsageError(f"--json cannot write {path!r}: {error.strerror}") from None

    def _try(self) -> None:
        if self._in_place and not os.path.isdir(self._target):
            # Without opening it: that would end what reads from a pipe.
            if not os.access(self._target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if os.path.exists(self._target):
            with open(self._target, "a"):
                pass
        with open(self._scratch, "x"):
            os.unlink(self._scratch)

    def write(self, snapshot: Snapshot, program: list[str], exit_status: int) -> None:
        """Write the report.

        Raises
        ------
        OSError
            If that fails now; a file that was there before is as it was.
        """
        content = json.dumps(envelope(snapshot, program, exit_status), indent=1) + "\n"
        if self._in_place:
            with open(self._target, "w") as file:
                file.write(content)
            return
        try:
            with open(self._scratch, "w") as file:
                file.write(content)
            os.replace(self._scratch, self._target)
        except OSError:
            if os.path.exists(self._scratch):
                os.unlink(self._scratch)
            raise


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
    if type(status) is not int:
        raise TypeError(f"exit_status must be an integer, not {shown(status)}")
    if "snapshot" not in data:
        raise ValueError("it must have the key 'snapshot'")
    return dict(data)
