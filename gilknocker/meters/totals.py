"""What a meter has measured in all, however often somebody resets it meanwhile."""

from __future__ import annotations

import math
from _thread import RLock
from _weakref import ref

from gilknocker.snapshot.algebra import added_fields
from gilknocker.snapshot.value import build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, type_check_only

    from gilknocker.snapshot.value import Snapshot

    @type_check_only
    class Meter(Protocol):
        """A ``KnockKnock`` or a ``GilTracer``."""

        _totals: tuple[ref[Totals], ...]

        def snapshot(self) -> Snapshot:
            """Return all numbers since the last reset."""


__all__ = ["Totals"]

# Of what a merge has none: a total is of one sampler, and settings do not change.
_ONE_SAMPLER = ("sampler_id", "epoch", "pid", "interval_ns", "knock_interval_ns")


class Totals:
    """A meter's numbers since its first epoch that was seen, which no reset takes away.

    For counters that must never decrease, beside users who reset the meter: dask.distributed does
    so twice a second. A meter tells its totals before it is reset; what it counts between that and
    the reset, some µs later, is lost.

    Parameters
    ----------
    meter : KnockKnock or GilTracer
        Started and stopped by somebody else. What it has counted since its last reset is in.

    Notes
    -----
    Any thread may call anything. In a forked child everything begins at zero, as the meter does.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        # Reentrant: a signal handler may come in between and read or reset, too.
        self._lock = RLock()
        self._forget()
        others = (one for one in meter._totals if one() is not None)
        meter._totals = (*others, ref(self))

    def _forget(self) -> None:
        self._ended: Snapshot | None = None  # all epochs before the newest, added up
        self._newest: Snapshot | None = None  # of the newest epoch, the last that was seen
        self._held = 0.0

    def snapshot(self) -> Snapshot:
        """Return the numbers of all epochs as those of one: two of these can be subtracted."""
        with self._lock:
            now = self._meter.snapshot()
            newest = self._newest
            if newest is not None and newest.pid != now.pid:
                self._forget()
            elif newest is not None and now.epoch != newest.epoch:
                self._ended = _added(self._ended, newest)
            self._newest = now
            return _added(self._ended, now)

    def held_seconds(self, total: Snapshot) -> float:
        """Return the held time of a total, in seconds, such that it never decreases.

        From looks it is the share of looks times the time, which may fall back by some ms.
        """
        with self._lock:
            held = total.held_seconds
            if not math.isnan(held):
                self._held = max(self._held, held)
            return self._held


def tell(totals: tuple[ref[Totals], ...]) -> None:
    """Let totals take in what a meter has counted, before it is reset."""
    for reference in totals:
        if (one := reference()) is not None:
            one.snapshot()


def _added(ended: Snapshot | None, newest: Snapshot) -> Snapshot:
    if ended is None or not (ended.observed_ns or ended.knocks):  # it had never run
        return newest
    fields = added_fields(ended, newest)
    fields.update({name: getattr(ended, name) for name in _ONE_SAMPLER})
    return build(fields | {"in_flight_ns": newest.in_flight_ns, "_merged": None})
