"""Threads by the names that the operating system knows, and which of them are the meter's own."""

from __future__ import annotations

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
