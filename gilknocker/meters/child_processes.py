"""The CPU time of child processes, which have GILs of their own that nobody measures here."""

from __future__ import annotations

import os

__all__ = ["cpu_ns"]


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
