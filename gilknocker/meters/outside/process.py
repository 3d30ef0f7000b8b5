"""What /proc says of a process: its files, its threads, and whether we may read its memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["Mapped", "NoProcess", "Process"]


class NoProcess(Exception):
    """A process is not there, or may not be read; the message says why and what to do."""


class Mapped(NamedTuple):
    """A file that a process has mapped: its path there, one of ours to it, where it begins."""

    path: str
    readable: str
    address: int


class Process:
    """A process of this machine, by its number here.

    Raises
    ------
    NoProcess
        If there is none, or it may not be looked into.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = Path("/proc", str(pid))
        if not self._folder.is_dir():
            raise NoProcess(f"there is no process {pid}")

    def command(self) -> list[str]:
        """Return its command line."""
        try:
            raw = (self._folder / "cmdline").read_bytes()
        except OSError:
            return []
        return [word.decode("utf-8", "backslashreplace") for word in raw.split(b"\0") if word]

    def mapped(self) -> list[Mapped]:
        """Return the files that may hold an interpreter: each once, at its first byte."""
        try:
            lines = (self._folder / "maps").read_text(errors="surrogateescape").splitlines()
        except OSError as error:
            raise NoProcess(self.denied(error)) from None
        found: dict[str, Mapped] = {}
        for line in lines:
            parts = line.split(maxsplit=5)
            if len(parts) < 6 or not parts[5].startswith("/") or int(parts[2], 16):
                continue
            path = parts[5].removesuffix(" (deleted)")
            if path not in found and not path.startswith(("/dev/", "/memfd:")):
                first, _, last = parts[0].partition("-")
                readable = f"{self._folder}/root{path}"
                if not os.path.exists(readable):  # replaced by an update: the mapping has it still
                    readable = f"{self._folder}/map_files/{int(first, 16):x}-{int(last, 16):x}"
                found[path] = Mapped(path, readable, int(first, 16))
        return list(found.values())

    def threads(self) -> dict[int, str]:
        """Return the names of its threads by the numbers that they have there."""
        names = {}
        for task in self._tasks():
            try:
                status = (task / "status").read_text()
            except OSError:  # it has ended
                continue
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            number = fields.get("NSpid", task.name).split()[-1]  # in its own namespace
            names[int(number)] = fields.get("Name", "")
        return names

    def _tasks(self) -> list[Path]:
        try:
            return list((self._folder / "task").iterdir())
        except OSError:
            return []

    def denied(self, error: OSError) -> str:
        """Return why its memory cannot be read, and what would help."""
        if error.errno == errno.ESRCH or not self._folder.is_dir():
            return f"process {self.pid} has ended"
        if error.errno not in (errno.EPERM, errno.EACCES):
            return f"the memory of process {self.pid} cannot be read: {error.strerror}"
        return (
            f"process {self.pid} may not be read: it needs the rights to trace it. "
            f"{self._missing()} (or run this as root, or with CAP_SYS_PTRACE)"
        )

    def _missing(self) -> str:
        try:
            if self._folder.stat().st_uid != os.geteuid():
                return "It belongs to another user: run this as that user"
            scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
        except OSError:
            return "Run this as its user"
        if scope != "0":
            return f"kernel.yama.ptrace_scope is {scope}: only 0 lets a user read other processes"
        return "Its memory is protected, as that of programs with rights of their own is"
