"""A load under the tracer, with the oracle beneath it and the load's own clock as witnesses."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from oracle import HELD_BY_OTHER, Oracle

from gilknocker import GilTracer
from gilknocker.testing import GilLoad

LOG = 2_000_000


class Witnessed(NamedTuple):
    """Held fractions of one load, of the same time two by two.

    Attributes
    ----------
    traced, oracle : float
        Of all threads: the tracer's, and the oracle's.
    thread, load : float
        Of the load's thread: the tracer's, and what the load says itself.
    """

    traced: float
    oracle: float
    thread: float
    load: float


def witnessed(held_seconds: float, free_seconds: float, seconds: float) -> Witnessed:
    """Run a load for so many seconds and return what the tracer and its witnesses say of it."""
    with GilTracer(LOG) as tracer, GilLoad(held_seconds, free_seconds) as load:
        with Oracle(log=LOG, beneath=True) as oracle:
            time.sleep(seconds)
            seen = oracle.transitions()
        events = tracer.events()
    # Over the same time: the first and the last change that both have seen. Each takes its own
    # times, one after the other, and what the tracer does between them is not always as long.
    holds = events[(events["kind"] == GilTracer.HOLD) & (events["end"] <= seen.times[-1])]
    start, end = seen.times[0], int(holds["end"][-1])
    traced = np.clip(holds["end"], start, end) - np.clip(holds["start"], start, end)
    thread = max(tracer.threads(), key=lambda thread: thread.held_ns)
    return Witnessed(
        float(traced.sum() / (end - start)),
        float(seen.spent_ns(HELD_BY_OTHER, start, end) / (end - start)),
        thread.held_ns / 1e9 / load.elapsed_seconds,
        load.held_seconds / load.elapsed_seconds,
    )
