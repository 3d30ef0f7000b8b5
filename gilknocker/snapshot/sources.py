"""Snapshots of what the meters counted."""

from __future__ import annotations

from gilknocker.snapshot.fields import COUNTS, TRACED, gil_state
from gilknocker.snapshot.histogram import WaitHistogram
from gilknocker.snapshot.raw_waits import RawWaits
from gilknocker.snapshot.value import build

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from gilknocker.snapshot.fields import _StoredHolders
    from gilknocker.snapshot.raw_waits import WaitSource
    from gilknocker.snapshot.stacks import _StoredStacks
    from gilknocker.snapshot.value import Snapshot

_NOT_TRACED = {
    **dict.fromkeys(TRACED, 0),
    "hold_max_exact": True,
    "hold_histogram": WaitHistogram._trusted(b""),
}
_OF_TRACE = {
    "wait_max_exact": True,
    "hold_max_exact": True,
    "floor_ns": None,
    "interval_ns": None,
    "knock_interval_ns": None,
    "slice_active": False,
    "method": "trace",
    "method_reason": "",
    "clock": None,
    "gil_enabled": True,
    "_stacks": None,
    "_looks": None,
    "_merged": None,
}


def from_core(
    counts: Mapping[str, int],
    histogram: bytes,
    waits: WaitSource | None,
    *,
    method: str,
    reason: str = "",
    clock: str | None = None,
    switch_interval_ns: int,
    interval_ns: int,
    knock_interval_ns: int,
    gil_enabled_now: bool,
    holders: _StoredHolders = (),
    stacks: _StoredStacks = None,
) -> Snapshot:
    """Make a snapshot of what ``_core.Sampler.read`` returned, unchecked: it is to be cheap."""
    fields = {
        **_NOT_TRACED,
        "counted_ns": 0,
        "_looks": None,
        # Of who only looks, and does not say it itself.
        "held_ns": counts["observed_ns"] * counts["ticks_held"] // max(counts["ticks"], 1),
        **counts,
        "floor_ns": counts["floor_ns"] if counts["floor_ns"] >= 0 else None,
        "wait_max_exact": True,
        "switch_interval_ns": switch_interval_ns,
        "interval_ns": interval_ns,
        "knock_interval_ns": knock_interval_ns,
        "method": method,
        "method_reason": reason,
        "clock": clock,
        "gil_enabled": gil_state(counts["ticks"], counts["ticks_disabled"], gil_enabled_now),
        "histogram": WaitHistogram._trusted(histogram),
        "_holders": holders,
        "_stacks": stacks,
        "_merged": None,
    }
    return build(fields, None if waits is None else RawWaits(waits))


def from_trace(
    fields: Mapping[str, Any],
    waits: bytes,
    holds: bytes,
    raw: tuple[WaitSource, WaitSource] | None,
) -> Snapshot:
    """Make a snapshot of a trace, of the fields that it has, unchecked."""
    return build(
        {
            **dict.fromkeys(COUNTS, 0),
            **_OF_TRACE,
            **fields,
            "counted_ns": fields["observed_ns"],
            "histogram": WaitHistogram._trusted(waits),
            "hold_histogram": WaitHistogram._trusted(holds),
        },
        *(() if raw is None else map(RawWaits, raw)),
    )
