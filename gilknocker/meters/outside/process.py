"""What /proc says of a process: its files, its threads, and whether we may read its memory."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gilknocker.meters.outside.relatives import stat

__all__ = ["Mapped", "NoProcess", "Process", "stopped_words"]


class NoProcess(Exception):
    """A process is not there, or may not be read; the message says why and what to do."""


class Mapped(NamedTuple):
    """A file that a process has mapped: its path there, one of ours to it, where it begins."""

    path: str
    readable: str
    address: int


def stopped_words(pid: int) -> str:
    """Return what there is to say of a process that is stopped."""
    return f"process {pid} is stopped (by a signal or a debugger): nothing runs in it"


def _status(folder: Path) -> dict[str, str]:
    """Return what it says of a process or thread; nothing if that has ended."""
    try:
        lines = (folder / "status").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _number_there(fields: dict[str, str]) -> int:
    return int(fields.get("NSpid", fields["Pid"]).split()[-1])


class Process:
    """A process of this machine, by its number here.

    Attributes
    ----------
    pid : int
        The number.
    folder : Path
        What /proc has of it.

    Raises
    ------
    NoProcess
        If there is none, or it is a thread's number.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.folder = Path("/proc", str(pid))
        if not self.folder.is_dir():
            raise NoProcess(f"there is no process {pid}")
        # A thread has a folder there too, though none is listed.
        owner = _status(self.folder).get("Tgid", str(pid))
        if int(owner) != pid:
            raise NoProcess(f"{pid} is a thread of process {owner}: give that")
        self._first = stat(pid)

    def command(self) -> list[str]:
        """Return its command line."""
        try:
            raw = (self.folder / "cmdline").read_bytes()
        except OSError:
            return []
        return [word.decode("utf-8", "backslashreplace") for word in raw.split(b"\0") if word]

    def kernel_name(self) -> str:
        """Return what the kernel calls a thread of its own; "" of a process of a user."""
        fields = _status(self.folder)
        # Who has no memory is the kernel's, or has ended.
        return "" if "VmSize" in fields or self.has_ended else fields.get("Name", "")

    def mapped(self) -> list[Mapped]:
        """Return the files that may hold an interpreter: each once, at its first byte."""
        try:
            lines = (self.folder / "maps").read_text(errors="surrogateescape").splitlines()
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
                readable = f"{self.folder}/root{path}"
                if not os.path.exists(readable):  # replaced by an update: the mapping has it still
                    readable = f"{self.folder}/map_files/{int(first, 16):x}-{int(last, 16):x}"
                found[path] = Mapped(path, readable, int(first, 16))
        return list(found.values())

    def threads(self) -> dict[int, str]:
        """Return the names of its threads by the numbers that they have there."""
        names = {}
        for task in self._tasks():
            if fields := _status(task):
                names[_number_there(fields)] = fields.get("Name", "")
        return names

    def thread_here(self, number: int) -> int:
        """Return what number a thread has here that has this one there; 0 if there is none."""
        for task in self._tasks():
            if (fields := _status(task)) and _number_there(fields) == number:
                return int(task.name)
        return 0

    def number_there(self) -> int:
        """Return the number that it has in its own namespace; 0 if it has ended."""
        fields = _status(self.folder)
        return _number_there(fields) if fields else 0

    @property
    def has_ended(self) -> bool:
        """Whether it has, also where its parent has not asked for its status yet."""
        return _status(self.folder).get("State", "X")[:1] in "XZ"

    @property
    def is_stopped(self) -> bool:
        """Whether all its threads are, by a signal or a debugger."""
        found = False
        for task in self._tasks():
            state = _status(task).get("State", "X")[:1]
            if state not in "TtXZ":
                return False
            found |= state in "Tt"
        return found

    @property
    def is_replaced(self) -> bool:
        """Whether it goes on, under its number, as another program (``exec``)."""
        first, now = self._first, stat(self.pid)
        if first is None or now is None or not now.goes_on:
            return False
        return first.image not in (0, now.image) and first.began == now.began

    @property
    def fate(self) -> str:
        """What has become of it, if it is no longer what it was."""
        what = "executed another program" if self.is_replaced else "ended"
        return f"process {self.pid} has {what}"

    def user(self) -> tuple[int, int]:
        """Return as which user and group it opens files."""
        fields = _status(self.folder)
        if not fields:
            raise NoProcess(f"process {self.pid} has ended")
        return int(fields["Uid"].split()[3]), int(fields["Gid"].split()[3])

    def _tasks(self) -> list[Path]:
        try:
            return list((self.folder / "task").iterdir())
        except OSError:
            return []

    def denied(self, error: OSError) -> str:
        """Return why its memory cannot be read, and what would help."""
        if error.errno == errno.ESRCH or not self.folder.is_dir() or self.is_replaced:
            return self.fate
        if error.errno not in (errno.EPERM, errno.EACCES):
            return f"the memory of process {self.pid} cannot be read: {error.strerror}"
        needed = f"process {self.pid} may not be read: it needs the rights to trace it."
        return f"{needed} {self._missing()}"

    def _missing(self) -> str:
        if os.geteuid() == 0:
            return (
                "This is root without CAP_SYS_PTRACE over it, as in many containers: "
                "give it that (docker run --cap-add SYS_PTRACE), or run this outside"
            )
        others = "or run this as root, or with CAP_SYS_PTRACE"
        with suppress(OSError):
            if self.folder.stat().st_uid != os.geteuid():
                return f"It belongs to another user: run this as that user ({others})"
        with suppress(OSError):
            scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
            if scope != "0":
                return (
                    f"kernel.yama.ptrace_scope is {scope}: only 0 lets a user read other "
                    f"processes ({others})"
                )
        return (
            f"Its memory is protected, as that of programs with rights of their own is ({others})"
        )
