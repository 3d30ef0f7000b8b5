"""Events of a trace as a file for the Perfetto UI, in Chrome's JSON Trace Event Format.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TextIO

    import numpy as np
    import numpy.typing as npt

    from gilknocker.snapshot.thread_times import ThreadTimes

__all__ = ["write"]

_KINDS = ("GIL held", "waits for the GIL")
# How many values of the held fraction a trace gets: what a screen can show.
_COUNTS = 1000


def write(
    path: str | os.PathLike[str], events: npt.NDArray[np.void], threads: Sequence[ThreadTimes]
) -> None:
    """Write a trace.

    Parameters
    ----------
    path : path-like
        Where to; gzipped if it ends in ``.gz``.
    events : ndarray
        What ``GilTracer.events`` returns.
    threads : sequence of ThreadTimes
        What ``GilTracer.threads`` returns.
    """
    if os.fspath(path).endswith(".gz"):
        with gzip.open(path, "wt", encoding="utf-8") as file:
            _write(file, events, threads)
    else:
        with open(path, "w", encoding="utf-8") as file:
            _write(file, events, threads)


def _write(file: TextIO, events: npt.NDArray[np.void], threads: Sequence[ThreadTimes]) -> None:
    file.write('{"displayTimeUnit": "ns", "traceEvents": [\n')
    before = ""
    for entry in _entries(events, threads):
        file.write(before + json.dumps(entry))
        before = ",\n"
    file.write("\n]}\n")


def _entries(
    events: npt.NDArray[np.void], threads: Sequence[ThreadTimes]
) -> Iterator[dict[str, Any]]:
    pid = os.getpid()
    # By serial, for the system gives out its own numbers again.
    yield {"ph": "M", "pid": pid, "tid": 0, "name": "process_name", "args": {"name": "GIL"}}
    for thread in threads:
        name = f"{thread.name} ({thread.native_id})"
        meta = {"ph": "M", "pid": pid, "tid": thread.serial + 1}
        yield {**meta, "name": "thread_name", "args": {"name": name}}
        yield {**meta, "name": "thread_sort_index", "args": {"sort_index": thread.serial}}
    columns = (events[name].tolist() for name in ("start", "end", "thread", "kind"))
    for start, end, serial, kind in zip(*columns, strict=True):
        yield {
            "ph": "X",
            "pid": pid,
            "tid": serial + 1,
            "ts": start / 1e3,
            "dur": (end - start) / 1e3,
            "name": _KINDS[kind],
            "cat": "gil",
        }
    ours = {thread.serial for thread in threads if thread.ours}
    for at, fraction in _held_fractions(events, ours):
        counter = {"name": "held fraction", "args": {"held": round(fraction, 4)}}
        yield {"ph": "C", "pid": pid, "tid": 0, "ts": at / 1e3, **counter}


def _held_fractions(events: npt.NDArray[np.void], ours: set[int]) -> Iterator[tuple[int, float]]:
    """Yield the start of each of `_COUNTS` equal spans and the held fraction in it."""
    import numpy as np

    holds = events[(events["kind"] == 0) & ~np.isin(events["thread"], list(ours))]
    if not len(holds):
        return
    first, last = int(holds["start"].min()), int(holds["end"].max())
    edges = np.linspace(first, last, _COUNTS + 1)
    # Holds follow each other: the time held up to an instant is a line from end to end.
    instants = np.stack((holds["start"], holds["end"]), axis=1).ravel()
    durations = holds["end"] - holds["start"]
    held = np.stack((np.zeros_like(durations), durations), axis=1).ravel().cumsum()
    fractions = np.diff(np.interp(edges, instants, held)) / np.diff(edges)
    yield from zip(edges[:-1].astype(int).tolist(), fractions.tolist(), strict=True)
