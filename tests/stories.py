"""Snapshots of made-up stories, and strategies for them: what the snapshot tests share."""

from __future__ import annotations

import math
import struct
from collections import Counter
from functools import reduce
from operator import add
from typing import Any

from hypothesis import strategies as st

from gilknocker import Snapshot
from gilknocker.snapshot.histogram import bucket_of
from gilknocker.snapshot.raw_waits import StoredWaits
from gilknocker.snapshot.sources import from_core, from_trace

US = 1_000
MS = 1_000_000
UNIX = 1_700_000_000 * 10**9

nanos = st.integers(0, 40).flatmap(lambda bits: st.integers(0, 2**bits - 1))
waits_lists = st.lists(nanos, max_size=30)
ticks_lists = st.lists(st.sampled_from(["free", "held", "own", "disabled"]), max_size=60)


def tell(
    ticks: list[str],
    waits: list[int],
    /,
    *,
    raw: bool = False,
    capacity: int = 10,
    interval_ns: int = MS,
    **changes: Any,
) -> Snapshot:
    """Count a story from its start; keyword arguments replace what follows from it."""
    looks = Counter(ticks)
    observed = len(ticks) * interval_ns
    counts: dict[str, Any] = {
        "sampler_id": 1,
        "epoch": 0,
        "pid": 42,
        "start_ns": 1000,
        "end_ns": 1000 + observed,
        "start_unix_ns": UNIX,
        "end_unix_ns": UNIX + observed,
        "observed_ns": observed,
        "counted_ns": 0,
        "ticks": len(ticks),
        "ticks_held": looks["held"],
        "ticks_own": looks["own"],
        "ticks_late": len(ticks) // 3,
        "ticks_missed": len(ticks) // 5,
        "ticks_disabled": looks["disabled"],
        "knocks": len(waits),
        "knocks_missed": 0,
        "knock_observed_ns": 2 * sum(waits),
        "wait_total_ns": sum(waits),
        "wait_max_ns": max(waits, default=0),
        "floor_ns": min(waits, default=-1),
        "in_flight_ns": 0,
        "cpu_ns": 10 * len(ticks),
        "slice_active": True,
    }
    context: dict[str, Any] = {
        "method": "look",
        "switch_interval_ns": 5 * MS,
        "interval_ns": interval_ns,
        "knock_interval_ns": 10 * interval_ns,
        "gil_enabled_now": True,
        "stacks": None,
        "holders": (),
    }
    for name, value in changes.items():
        (context if name in context else counts)[name] = value
    counts.setdefault("held_ns", counts["observed_ns"] * looks["held"] // max(len(ticks), 1))
    dropped = max(len(waits) - capacity, 0)
    kept = StoredWaits.from_lists(dropped, waits[dropped:], times_of(waits)[dropped:])
    return from_core(counts, packed(waits), kept if raw else None, **context)


def held_by(snapshot: Snapshot, held: list[tuple[str, int]]) -> Snapshot:
    """Return the same with holders: names, and for how long."""
    names = ("native_id", "serial", "name", "held")
    holders = [(7 + n, n, name, time) for n, (name, time) in enumerate(held)]
    data = snapshot.to_dict()
    data["holders"] = [dict(zip(names, holder, strict=True)) for holder in holders]
    return Snapshot.from_dict(data)


def counted(snapshot: Snapshot, **changes: Any) -> Snapshot:
    """Return the same as if every hold had been counted, and nobody had looked."""
    data = snapshot.to_dict()
    tick_ns = snapshot.held_ns // max(snapshot.ticks_held, 1)
    for holder in data["holders"]:
        holder["held"] *= tick_ns
    for name in ("ticks", "ticks_held", "ticks_own", "ticks_late", "ticks_missed"):
        data[name] = 0
    exact = {"method": "count", "clock": "tsc", "counted_ns": snapshot.observed_ns}
    return Snapshot.from_dict({**data, **exact, **changes})


KEPT = "code that keeps it without a break"
BACK = "takes it back before a waiting thread is awake"
QUEUE = "threads that queue up for it"
MACHINE = "a machine too busy"
CAUSES = {KEPT, BACK, QUEUE, MACHINE}

MAIN = [("MainThread", 100)]
FOUR = [(f"worker-{n}", 25) for n in range(4)]
SIXTEEN = [(f"worker-{n}", 6.25) for n in range(16)]


def looked(
    held: float, looks: int, waits: list[int], holders: Any = (), **changes: Any
) -> Snapshot:
    ticks = ["held"] * round(held * looks) + ["free"] * (looks - round(held * looks))
    calm = {"ticks_late": 0, "ticks_missed": 0}
    snapshot = tell(ticks, waits, **(calm | changes))
    shares = [(name, round(share * snapshot.ticks_held / 100)) for name, share in holders]
    return held_by(snapshot, shares) if holders else snapshot


def evenly(low: float, high: float, count: int) -> list[int]:
    """Return waits from `low` to `high` ms, as many of each length."""
    return [round((low + (high - low) * n / (count - 1)) * MS) for n in range(count)]


def in_ms(*waits: float) -> list[int]:
    return [round(wait * MS) for wait in waits]


def traced(
    holds: list[int],
    waits: list[int],
    threads: int,
    holders: list[tuple[str, int]],
    **changes: Any,
) -> Snapshot:
    """Return a trace of 10 s; `holds` and `waits` in ns."""
    fields: dict[str, Any] = {
        **{"sampler_id": 1, "epoch": 0, "pid": 42, "start_ns": 0, "end_ns": 10**10},
        **{"start_unix_ns": UNIX, "end_unix_ns": UNIX + 10**10, "observed_ns": 10**10},
        **{"in_flight_ns": 0, "knocks": len(waits), "holds": len(holds)},
        **{"wait_total_ns": sum(waits), "wait_max_ns": max(waits, default=0)},
        **{"held_ns": sum(holds), "waited_ns": sum(waits), "thread_ns": threads * 10**10},
        **{"hold_max_ns": max(holds, default=0), "switch_interval_ns": 5 * MS},
        "_holders": tuple(
            (7 + n, n, name, round(sum(holds) * share / 100))
            for n, (name, share) in enumerate(holders)
        ),
        **changes,
    }
    return from_trace(fields, packed(waits), packed(holds), None)


def times_of(waits: list[int]) -> list[int]:
    return [10_000 * n for n in range(len(waits))]


def packed(waits: list[int]) -> bytes:
    pairs = sorted(Counter(map(bucket_of, waits)).items())
    return b"".join(struct.pack("=qq", *pair) for pair in pairs)


def same_number(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return a == b or (math.isnan(a) and math.isnan(b))


snapshots = st.builds(tell, ticks_lists, waits_lists, raw=st.booleans())
windows = st.builds(
    lambda ticks, waits, m, n, raw: (
        tell(ticks, waits, raw=raw) - tell(ticks[:m], waits[:n], raw=raw)
    ),
    ticks_lists,
    waits_lists,
    st.integers(0, 60),
    st.integers(0, 30),
    st.booleans(),
)
merges = st.lists(
    st.builds(
        tell,
        ticks_lists,
        waits_lists,
        raw=st.booleans(),
        interval_ns=st.integers(1, 10**12),
        pid=st.integers(0, 3),
        sampler_id=st.integers(1, 3),
    ),
    min_size=2,
    max_size=4,
).map(lambda parts: reduce(add, parts))
any_snapshots = snapshots | windows | merges
