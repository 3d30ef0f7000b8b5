"""Events and threads of a trace, made up: what the tests of its file share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gilknocker import ThreadTimes

DAY = 86_400 * 10**9
EVENT = [("start", "i8"), ("end", "i8"), ("thread", "u4"), ("kind", "u4")]


def thread(serial: int, native_id: int, name: str = "work", ours: bool = False) -> ThreadTimes:
    return ThreadTimes(native_id, serial, name, ours, True, *[0] * 9)


def many(count: int, start: int, seed: int = 1) -> npt.NDArray[np.void]:
    """Make events of one thread, each beginning where the last one ended."""
    durations = np.random.default_rng(seed).integers(0, 2_000_000, count)
    events = np.zeros(count, dtype=EVENT)
    events["end"] = start + durations.cumsum()
    events["start"] = events["end"] - durations
    events["kind"] = np.arange(count) % 2
    return events
