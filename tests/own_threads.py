"""Threads by the names that the operating system knows, and which of them are the meter's own."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

WATCHER, KNOCKER = NAMES = ("gilknock-watch", "gilknock-knock")


def thread_names() -> dict[int, str]:
    """Return the name of each thread of this process, by its number."""
    names = {}
    for folder in Path("/proc/self/task").glob("*"):
        with suppress(OSError):  # it ended meanwhile
            names[int(folder.name)] = (folder / "comm").read_text().strip()
    return names


def our_threads() -> dict[int, str]:
    """Return those of the meter."""
    return {n: name for n, name in thread_names().items() if name.startswith("gilknock")}


def our_names() -> list[str]:
    """Return the names of those of the meter, sorted."""
    return sorted(our_threads().values())


def without_a_cpu_here_ns() -> int:
    """For how long the calling thread was ready to run and had no CPU, ns; 0 if unknown."""
    return _without_a_cpu_ns(Path("/proc/thread-self"))


def without_a_cpu_ns(name: str) -> int:
    """For how long our thread of that name was ready to run and had no CPU, ns; 0 if unknown."""
    for number in (number for number, one in our_threads().items() if one == name):
        return _without_a_cpu_ns(Path(f"/proc/self/task/{number}"))
    return 0


def all_without_a_cpu_ns() -> int:
    """For how long threads of this process that go on were ready to run and had no CPU, ns."""
    return sum(map(_without_a_cpu_ns, Path("/proc/self/task").glob("*")))


def _without_a_cpu_ns(thread: Path) -> int:
    with suppress(OSError):
        return int((thread / "schedstat").read_text().split()[1])
    return 0


def stolen_ns() -> int:
    """For how long the host of a virtual machine had its CPUs, all together, ns; 0 if unknown."""
    with suppress(OSError, IndexError):
        _, *ticks = Path("/proc/stat").read_text().splitlines()[0].split()
        return int(ticks[7]) * 10**9 // os.sysconf("SC_CLK_TCK")
    return 0
