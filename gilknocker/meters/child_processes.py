"""Child processes, which have GILs of their own that nobody measures here: how many, how busy."""

from __future__ import annotations

import os
import sys
from functools import partial, wraps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

__all__ = ["ChildCount", "cpu_ns"]


class ChildCount:
    """Counts the child processes that this one starts, from its creation on, for good.

    Forks that Python knows of, and what ``subprocess`` and ``multiprocessing`` start. Not what
    ``os.system`` or C code does, nor what children start: there are that many at least. An audit
    hook would see more, and make each ``id()`` of the program's dearer.
    """

    def __init__(self) -> None:
        self._forks = bytearray()  # as long as there were forks
        self._others = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_parent=partial(self._forks.append, 0))
        for name in ("posix_spawn", "posix_spawnp"):  # what subprocess uses where it can
            self._count(os, name)
        try:
            import _posixsubprocess
        except ImportError:  # Windows
            return
        original = _posixsubprocess.fork_exec
        counted = self._count(_posixsubprocess, "fork_exec")
        subprocess = sys.modules.get("subprocess")  # if somebody has imported it before
        if getattr(subprocess, "_fork_exec", None) is original:
            subprocess._fork_exec = counted  # type: ignore[union-attr]

    def _count(self, module: ModuleType, name: str) -> object:
        """Let a function that starts a process be counted by who looks it up from now on."""
        original = getattr(module, name, None)
        if original is None:
            return None

        @wraps(original)
        def counted(*args: Any, **options: Any) -> Any:
            before = len(self._forks)
            pid = original(*args, **options)
            if len(self._forks) == before:  # a preexec_fn makes it a fork that Python knows of
                self._others += 1
            return pid

        setattr(module, name, counted)
        return counted

    @property
    def started(self) -> int:
        """How many at least: those that were seen to start, or that are there now."""
        try:
            there = len(_children(os.getpid()))
        except OSError:  # no /proc
            there = 0
        return max(len(self._forks) + self._others, there)


def cpu_ns() -> int:
    """Return how much CPU time child processes have used so far, in ns.

    Those that have ended and were waited for, with theirs; on Linux also those that are still
    there. Not those that went away on their own: daemons, and what ends while SIGCHLD is ignored.
    To a hundredth of a second.
    """
    times = os.times()
    seconds = times.children_user + times.children_system
    return round(seconds * 1e9) + _living_ns()


def _living_ns() -> int:
    try:
        ticks = sum(map(_ticks, _children(os.getpid())))
        return ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):  # no /proc, or no list of children in it
        return 0


def _children(pid: int) -> list[int]:
    """Return the children of a process, and theirs, as far as they stay until they are asked."""
    found: list[int] = []
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except OSError:  # the thread has ended
            continue
    for child in tuple(found):
        try:
            found += _children(child)
        except OSError:
            continue
    return found


def _ticks(pid: int) -> int:
    """Return the user and system time of a process and of those that it waited for."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Its name, in parentheses, may hold anything. proc_pid_stat(5): fields 14 to 17.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))
