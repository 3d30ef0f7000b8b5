"""Events of a trace as a file for the Perfetto UI, in Chrome's JSON Trace Event Format.

The format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU

Its times are decimals of µs, which readers make doubles of: so they count from the start of the
trace, and are written from integers, with three decimals. numpy formats a block of events at a
time: each is a row of bytes, with blanks where its numbers are shorter, which JSON allows.
"""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import numpy as np

from gilknocker import _core
from gilknocker._files import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, BinaryIO

    import numpy.typing as npt

    from gilknocker.snapshot.thread_times import ThreadTimes

__all__ = ["write"]

_KINDS = (b'"GIL held"', b'"waits for the GIL"')
# How many values of the held fraction a trace gets: what a screen can show.
_COUNTS = 1000
_BLOCK = 50_000  # rows
# Linux gives no thread a larger number (PID_MAX_LIMIT, include/linux/threads.h).
_MOST_NATIVE_ID = 2**22
_BLANK, _ZERO = b" 0"


def write(
    target: Target,
    events: npt.NDArray[np.void],
    threads: Sequence[ThreadTimes],
    start_ns: int,
    progress: Callable[[float], object] = lambda fraction: None,
) -> None:
    """Write a trace.

    Parameters
    ----------
    target : Target
        Where to; gzipped if its name ends in ``.gz``.
    events : ndarray
        What ``GilTracer.events`` returns.
    threads : sequence of ThreadTimes
        What ``GilTracer.threads`` returns.
    start_ns : int
        When the trace began, on the clock of ``time.monotonic_ns``: its time 0, unless an event
        began earlier.
    progress : callable, optional
        Told again and again which share has been written, 0 to 1.
    """
    threads = [one for one in threads if one.native_id]  # not those that are many in one row
    if len(events):
        start_ns = min(start_ns, int(events["start"].min()))

    def fill(file: BinaryIO) -> None:
        rows = _rows(events, threads, start_ns, progress)
        if not target.path.endswith(".gz"):
            file.writelines(rows)
            return
        # Level 1: a tenth of the size already, and 9 would take ten times as long.
        with gzip.GzipFile("", "wb", 1, file) as packed:
            for row in rows:
                packed.write(row)

    target.write(fill)


def _rows(
    events: npt.NDArray[np.void],
    threads: Sequence[ThreadTimes],
    start_ns: int,
    progress: Callable[[float], object],
) -> Iterator[bytes]:
    pid = os.getpid()
    tids = _tids(threads)
    yield b'{"displayTimeUnit": "ns",\n"otherData": {"start_monotonic_ns": "%d"},\n' % start_ns
    yield b'"traceEvents": [\n'
    yield b",\n".join(_json(entry) for entry in _names(pid, threads, tids))
    for first in range(0, len(events), _BLOCK):
        progress(first / len(events))
        yield _block(events[first : first + _BLOCK], pid, tids, start_ns)
    for at, fraction in _held_fractions(events, start_ns):
        args = b'"args": {"held": %.4f}' % fraction
        yield (
            b',\n{"ph": "C", "pid": %d, "tid": %d, "ts": %d.%03d, "name": "held fraction", %b}'
            % (*(pid, pid, at // 1000, at % 1000, args),)
        )
    yield b"\n]}\n"
    progress(1.0)


def _json(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry).encode()


def _tids(threads: Sequence[ThreadTimes]) -> dict[int, int]:
    """Return the number of each thread's track, by its serial: its native id.

    The main thread's is that of the process then, by which readers know it. The system gives its
    numbers out again: the newest thread of one has it, those before get numbers that it never
    gives out.
    """
    newest = {thread.native_id: thread.serial for thread in sorted(threads, key=_by_serial)}
    return {
        one.serial: one.native_id if newest[one.native_id] == one.serial else _made_up(one.serial)
        for one in threads
    }


def _by_serial(thread: ThreadTimes) -> int:
    return thread.serial


def _made_up(serial: int) -> int:
    return _MOST_NATIVE_ID + 1 + serial


def _names(
    pid: int, threads: Sequence[ThreadTimes], tids: dict[int, int]
) -> Iterable[dict[str, Any]]:
    # With the machine's name, for process 6 is in every container.
    name = f"GIL of process {pid} on {_host()}"
    yield {"ph": "M", "pid": pid, "tid": pid, "name": "process_name", "args": {"name": name}}
    for thread in threads:
        meta = {"ph": "M", "pid": pid, "tid": tids[thread.serial]}
        name = f"{thread.name} ({thread.native_id})"
        yield {**meta, "name": "thread_name", "args": {"name": name}}
        yield {**meta, "name": "thread_sort_index", "args": {"sort_index": thread.serial}}


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "?")


def _block(events: npt.NDArray[np.void], pid: int, tids: dict[int, int], start_ns: int) -> bytes:
    """Return the rows of some events, each with a comma before it."""
    serials, thread = np.unique(events["thread"], return_inverse=True)
    heads = _table(
        b',\n{"ph":"X","pid":%d,"tid":%d,"ts":' % (pid, tids.get(serial, _made_up(serial)))
        for serial in serials.tolist()
    )
    tails = _table(b',"name":%b,"cat":"gil"}' % kind for kind in _KINDS)
    begin = _micros(events["start"] - start_ns)
    middle = _table([b',"dur":'])[np.zeros(len(events), dtype=np.intp)]
    duration = _micros(events["end"] - events["start"])
    rows = (heads[thread], begin, middle, duration, tails[events["kind"]])
    return np.concatenate(rows, axis=1).tobytes()


def _table(texts: Iterable[bytes]) -> npt.NDArray[np.uint8]:
    """Return texts as rows of bytes, blanks after the shorter ones."""
    rows = list(texts)
    width = max(map(len, rows))
    joined = b"".join(row.ljust(width) for row in rows)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(rows), width)


def _micros(nanos: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Return durations as rows of bytes: µs with three decimals, blanks before them."""
    digits = max(len(str(int(nanos.max()))), 4)
    text = np.empty((len(nanos), digits + 1), dtype=np.uint8)
    rest = nanos
    for place in range(digits):
        column = digits - place - (place > 2)  # the point stands before the third
        tens = rest // 10
        text[:, column] = rest - 10 * tens + _ZERO
        if place > 3:  # one digit stands before the point
            text[rest == 0, column] = _BLANK
        rest = tens
    text[:, digits - 3] = ord(".")
    return text


def _held_fractions(events: npt.NDArray[np.void], start_ns: int) -> Iterator[tuple[int, float]]:
    """Yield the start of each of `_COUNTS` equal spans, and the held fraction in it."""
    holds = events[(events["kind"] == 0) & (events["thread"] < _core.FIRST_OWN_SERIAL)]
    if not len(holds):
        return
    start, end = holds["start"] - start_ns, holds["end"] - start_ns
    edges = np.linspace(int(start.min()), int(end.max()), _COUNTS + 1)
    # Holds follow each other: the time held up to an instant is a line from end to end.
    instants = np.stack((start, end), axis=1).ravel()
    durations = end - start
    held = np.stack((np.zeros_like(durations), durations), axis=1).ravel().cumsum()
    fractions = np.diff(np.interp(edges, instants, held)) / np.diff(edges)
    yield from zip(edges[:-1].astype(int).tolist(), fractions.tolist(), strict=True)
