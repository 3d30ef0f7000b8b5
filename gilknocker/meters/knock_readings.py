"""What a knocker's reading says, as a snapshot.

No program needs it before a knocker runs: the first start loads it.
"""

from __future__ import annotations

import sys
from sys import getswitchinterval  # now: a program's tests may replace it

from gilknocker import _core
from gilknocker.meters.holder_names import named
from gilknocker.snapshot.sources import from_core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.meters.arguments import Settings
    from gilknocker.snapshot.fields import _StoredHolders
    from gilknocker.snapshot.stacks import _StoredStacks
    from gilknocker.snapshot.value import Snapshot

__all__ = ["not_counted", "snapshot_of"]


def snapshot_of(
    sampler: _core.Sampler,
    settings: Settings,
    names: dict[tuple[int, int, int], str],
    *,
    waits: bool,
    stacks: bool,
) -> Snapshot:
    """Return all numbers of a sampler as one consistent value.

    Parameters
    ----------
    sampler : _core.Sampler
        What measures.
    settings : Settings
        Those that it was made with.
    names : dict
        Of holders, as :func:`~gilknocker.meters.holder_names.named` knows and keeps them.
    waits, stacks : bool
        Whether to keep the single waits; whether it reads stacks.
    """
    counts, histogram, raw, holders = sampler.read(waits)
    held_by = named(holders, names)
    reason = not_counted(sampler)
    method = "count" if counts["counted_ns"] else sampler.method
    if method == "count" and not counts["counted_ns"] and counts["observed_ns"]:
        method = "look"  # it was looked at all the time, and may be counted from now on
    looks = method != "knock"
    return from_core(
        counts,
        histogram,
        raw,
        method=method,
        reason=reason,
        clock=_core.count_clock() if counts["counted_ns"] else None,
        switch_interval_ns=round(getswitchinterval() * 1e9),
        interval_ns=settings.interval_ns,
        knock_interval_ns=settings.knock_interval_ns if looks else settings.interval_ns,
        gil_enabled_now=_gil_enabled(),
        holders=held_by,
        stacks=_held_stacks(sampler, settings, held_by) if stacks else None,
    )


def not_counted(sampler: _core.Sampler) -> str:
    """Return why a sampler does not count, in a sentence; empty if it does, or was not to."""
    reason = sampler.reason
    return f"The holds are not counted: {reason}." if reason else ""


def _held_stacks(
    sampler: _core.Sampler, settings: Settings, holders: _StoredHolders
) -> _StoredStacks:
    from gilknocker.snapshot.stacks import stored

    names = {serial: name for _, serial, name, _ in holders}
    return stored(sampler.read_stacks(), settings.interval_ns, names)


def _gil_enabled() -> bool:
    """Whether there is a GIL now: always before 3.13, which has no such question."""
    ask = getattr(sys, "_is_gil_enabled", None)
    return True if ask is None else bool(ask())
