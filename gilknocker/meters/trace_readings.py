"""What a tracer's reading says, as values: rows of threads, holders, events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gilknocker import _core
from gilknocker.snapshot.fields import CROWD_ID, CROWD_NAME, FOLDED_NAME
from gilknocker.snapshot.raw_waits import StoredWaits
from gilknocker.snapshot.thread_times import ThreadTimes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer

__all__ = ["EVENT_BYTES", "LongHold", "as_events", "holders_together", "stored_waits", "thread_row"]


class LongHold(NamedTuple):
    """One hold of the GIL: from when to when, ns of ``time.monotonic_ns``, and by which thread."""

    start_ns: int
    end_ns: int
    thread: str


EVENT = [("start", "i8"), ("end", "i8"), ("thread", "u4"), ("kind", "u4")]
EVENT_BYTES = sum(int(kind[1:]) for _, kind in EVENT)


def as_events(values: Buffer) -> npt.NDArray[np.void]:
    """Return events as `GilTracer.events` has them, read-only, of the bytes that the core gave."""
    import numpy as np

    return np.frombuffer(memoryview(values), dtype=EVENT)


def holders_together(reading: dict[str, Any]) -> tuple[tuple[int, int, str, int], ...]:
    """Return as a holder each the threads that found no room, and those that are folded."""
    found = (
        (CROWD_ID, _core.CROWD_SERIAL, CROWD_NAME, reading["crowd_held_ns"]),
        (CROWD_ID, _core.FOLDED_SERIAL, FOLDED_NAME, reading["folded"]["held_ns"]),
    )
    return tuple(holder for holder in found if holder[-1])


def thread_row(
    times: dict[str, int], native_id: int, serial: int, name: str, ours: bool, alive: bool
) -> ThreadTimes:
    """Return what one thread did, of its numbers and of who it is."""
    fields: dict[str, Any] = {
        **times,
        "native_id": native_id,
        "serial": serial,
        "name": name,
        "ours": ours,
        "alive": alive,
        "released_ns": times["lifetime_ns"] - times["held_ns"] - times["waited_ns"],
    }
    return ThreadTimes(**{field: fields[field] for field in ThreadTimes._fields})


def stored_waits(events: npt.NDArray[np.void], counted: int) -> StoredWaits:
    """Return the raw times of events of one kind, of which there were `counted` in all."""
    durations = (events["end"] - events["start"]).tobytes()
    return StoredWaits(counted - len(events), durations, events["start"].tobytes())
