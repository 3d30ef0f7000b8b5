"""What /proc says of processes and their children, cheaply enough to be asked all the time."""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from typing import NamedTuple

__all__ = ["ExitWatch", "Stat", "children", "gil_waiters", "stat"]

_FUTEX = b"202"  # the number of the system call, x86-64
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
# <linux/pidfd.h>: PIDFD_GET_INFO is _IOWR(0xFF, 11, struct pidfd_info), of 64 bytes.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_EXIT_CODE_AT = 60


class Stat(NamedTuple):
    """Of /proc/PID/stat: `image` is another number after each ``exec``, and the same after fork.

    `began` is when, in ticks: another process that gets the number began later. Who is `leaving`
    has no memory any more and no exit status yet; what else is said of it is 0.
    """

    ppid: int
    ended: bool
    leaving: bool
    cpu_ns: int
    began: int
    image: int
    wait_status: int

    @property
    def goes_on(self) -> bool:
        """Whether it has neither ended nor is leaving."""
        return not (self.ended or self.leaving)


def stat(pid: int) -> Stat | None:
    """Return what a process is doing; None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Its name, in parentheses, may hold anything. proc_pid_stat(5), from field 3 on.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return Stat(
        ppid=int(fields[1]),
        ended=fields[0] in (b"Z", b"X"),
        leaving=fields[20] == b"0",  # the size of its memory
        cpu_ns=(int(fields[11]) + int(fields[12])) * _TICK_NS,
        began=int(fields[19]),
        image=int(fields[25]),  # where its stack begins
        wait_status=int(fields[49]),
    )


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    found: list[int] = []
    for thread in _threads(pid):
        with suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
            found += map(int, file.read().split())
    return found


def gil_waiters(pid: int, gil: range) -> int:
    """Return how many threads wait for the GIL: those that wait on a futex within its state.

    Parameters
    ----------
    pid : int
        The process.
    gil : range
        The addresses of the GIL's state there.
    """
    found = 0
    for thread in _threads(pid):
        with suppress(OSError), open(f"/proc/{pid}/task/{thread}/syscall", "rb") as file:
            words = file.read().split(maxsplit=2)
            found += words[0] == _FUTEX and int(words[1], 16) in gil
    return found


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:  # it has ended
        return []


class ExitWatch:
    """Keeps hold of a process that is not our child, to be told how it ended.

    Linux 6.15 and later say so even after its parent has waited for it; others only before.
    """

    def __init__(self, pid: int) -> None:
        self._pid, self._fd = pid, -1
        with suppress(OSError, AttributeError):  # not in every build of Python
            self._fd = os.pidfd_open(pid)

    def status(self) -> int | None:
        """Return its exit status, negative of a signal; None if it goes on or is not known."""
        found = stat(self._pid)
        if found is not None:
            # Its parent may take it away at any moment: what was read is read.
            return os.waitstatus_to_exitcode(found.wait_status) if found.ended else None
        return self._status_of_reaped()

    def _status_of_reaped(self) -> int | None:
        info = bytearray(64)
        struct.pack_into("=Q", info, 0, _PIDFD_INFO_EXIT)
        try:
            fcntl.ioctl(self._fd, _PIDFD_GET_INFO, info)
        except (OSError, ValueError):  # an older kernel, or no descriptor
            return None
        if not struct.unpack_from("=Q", info)[0] & _PIDFD_INFO_EXIT:
            return None
        return os.waitstatus_to_exitcode(*struct.unpack_from("=i", info, _EXIT_CODE_AT))

    def close(self) -> None:
        """Let go of it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
