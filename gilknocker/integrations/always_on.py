"""What meters that are always on share: their knocker, their buckets, a thread that reports."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from gilknocker._checks import checked_real, shown
from gilknocker.meters.bare_thread import tell_excepthook
from gilknocker.meters.knock_knock import KnockKnock
from gilknocker.meters.totals import Totals
from gilknocker.meters.tracer import GilTracer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilknocker.snapshot.histogram import WaitHistogram

__all__ = [
    "BOUNDS_NS",
    "BUCKETS_SECONDS",
    "Source",
    "Turns",
    "checked_tracer",
    "positive",
    "waits",
]

# Each is where a bucket of WaitHistogram begins, so that counting again by these loses nothing but
# waits of exactly a bound, which are counted one bucket too high.
BOUNDS_NS = tuple(1_000 * 4**k for k in range(13))
BUCKETS_SECONDS = tuple(bound / 1e9 for bound in BOUNDS_NS)
"""Powers of 4 from 1 µs to 16.8 s."""


class Source:
    """A knocker with its totals: its owner's, or one of ours, which a forked child has, too."""

    def __init__(self, knocker: KnockKnock | None) -> None:
        if knocker is not None and not isinstance(knocker, KnockKnock):
            raise TypeError(f"knocker must be a KnockKnock or None, not {shown(knocker)}")
        self._own = knocker is None
        self._knocker = _always_on() if knocker is None else knocker
        self._totals = Totals(self._knocker)
        self._pid = os.getpid()
        if self._own:
            self._knocker.start()

    def totals(self) -> Totals:
        """Return what does not fall back."""
        if self._own and self._pid != os.getpid():
            self._pid = os.getpid()
            self._knocker.start()
        return self._totals

    def close(self) -> None:
        """Stop the knocker if it is ours."""
        if self._own:
            self._knocker.stop()


def _always_on() -> KnockKnock:
    """Return one with the schedule of gilknocker 0.4: ten knocks 1 ms apart in each 0.2 s."""
    return KnockKnock(polling_interval_micros=1_000)


class Turns:
    """A thread that calls a function each period, until it is closed.

    A forked child has no such thread; there nothing is called.

    Parameters
    ----------
    call : callable
        Called without arguments, one call at a time.
    period : float
        In seconds.
    name : str
        Of the thread.
    """

    def __init__(self, call: Callable[[], None], period: float, name: str) -> None:
        self._call = call
        self._pid = os.getpid()
        self._lock = threading.Lock()  # one call at a time
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(period,), name=name, daemon=True)
        self._thread.start()

    def now(self) -> None:
        """Call it now."""
        if os.getpid() != self._pid:
            return  # in a forked child the lock may be lost
        with self._lock:
            self._call()

    def close(self) -> bool:
        """End the thread and call a last time; False if that was done, or in a forked child."""
        if os.getpid() != self._pid or self._ending.is_set():
            return False
        self._ending.set()
        self._thread.join()
        self.now()
        return True

    def _work(self, period: float) -> None:
        while not self._ending.wait(period):
            try:
                self.now()
            except Exception as error:  # a full disk, say: the next turn may do better
                tell_excepthook(error)


def waits(histogram: WaitHistogram) -> Iterator[float]:
    """Yield each wait in seconds, as the middle of its bucket: at most 0.8 % off."""
    for lower_ns, upper_ns, count in histogram:
        for _ in range(count):
            yield (lower_ns + upper_ns - 1) / 2e9


def checked_tracer(tracer: GilTracer | None) -> GilTracer | None:
    """Return `tracer`, or raise TypeError."""
    if tracer is not None and not isinstance(tracer, GilTracer):
        raise TypeError(f"tracer must be a GilTracer or None, not {shown(tracer)}")
    return tracer


def positive(name: str, value: float) -> float:
    """Return `value` as a float of seconds, more than 0, or raise TypeError or ValueError."""
    allowed = "a real number of seconds, more than 0"
    seconds = checked_real(name, value, allowed)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{name} must be {allowed}, not {shown(value)}")
    return seconds
