"""``later - earlier`` and ``a + b`` of snapshots."""

from __future__ import annotations

from gilknocker._checks import MAX_INT64
from gilknocker.snapshot.fields import (
    COUNTS,
    CROWD_ID,
    EXACT,
    GATHERED_NAMES,
    MOST_HOLDERS,
    ORIGIN,
    SETTINGS,
    gil_state,
    look_weights,
    told_of_holders,
    weights,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilknocker.snapshot.fields import _StoredHolders
    from gilknocker.snapshot.stacks import _StoredStacks
    from gilknocker.snapshot.value import Snapshot


def window_fields(later: Snapshot, earlier: Snapshot) -> dict[str, Any]:
    """Return the fields of the window between two snapshots.

    Raises
    ------
    ValueError
        If they are not of the same sampler, process and epoch, begin at different instants, or
        are in the wrong order.
    """
    _check_same_origin(later, earlier)
    counts = {name: getattr(later, name) - getattr(earlier, name) for name in COUNTS}
    for name, value in counts.items():
        if value < 0:
            raise ValueError(f"later - earlier: {name} would be {value}")
    # Of looks it had perhaps to catch up before, and then comes in steps.
    counts["held_ns"] = min(counts["held_ns"], counts["observed_ns"])
    histogram = later.histogram - earlier.histogram
    if earlier.observed_ns:
        start_ns, start_unix_ns = earlier.end_ns, earlier.end_unix_ns
    else:  # it was taken before the sampler ran: no time is cut off
        start_ns, start_unix_ns = later.start_ns, later.start_unix_ns
    return {
        **counts,
        **{name: getattr(later, name) for name in (*SETTINGS, *ORIGIN)},
        "start_ns": start_ns,
        "start_unix_ns": start_unix_ns,
        "end_ns": later.end_ns,
        "end_unix_ns": later.end_unix_ns,
        # A maximum that grew was reached in the window; else its top bucket is all one knows.
        "wait_max_ns": min(histogram.highest_ns, later.wait_max_ns),
        "wait_max_exact": not histogram
        or (later.wait_max_exact and later.wait_max_ns > earlier.wait_max_ns),
        "in_flight_ns": later.in_flight_ns,
        "floor_ns": later.floor_ns,
        "slice_active": later.slice_active,
        "method": later.method,
        "method_reason": later.method_reason,
        "clock": later.clock,
        "gil_enabled": gil_state(counts["ticks"], counts["ticks_disabled"], later.gil_enabled),
        "histogram": histogram,
        **_holds_of_window(later, earlier),
        "_holders": _holders_of_window(later, earlier),
        "_stacks": _stacks_of_window(later, earlier),
        "_looks": _looks_of_window(later, earlier),
        "_merged": None,
    }


def merged_fields(a: Snapshot, b: Snapshot) -> dict[str, Any]:
    """Return the fields of two snapshots taken together.

    Raises
    ------
    ValueError
        If they were measured by different methods (but what was counted and what was looked at
        go together), or a sum does not fit in 64 bits.
    """
    methods = {a.method, b.method}
    if len(methods) > 1 and methods != {"count", "look"}:
        raise ValueError(
            f"snapshots by different methods cannot be merged: {a.method!r} and {b.method!r}"
        )
    largest, exact = max((a.wait_max_ns, a.wait_max_exact), (b.wait_max_ns, b.wait_max_exact))
    longest_hold, hold_exact = max(
        (a.hold_max_ns, a.hold_max_exact), (b.hold_max_ns, b.hold_max_exact)
    )
    floors = [s.floor_ns for s in (a, b) if s.floor_ns is not None]
    return {
        **{name: _sum(name, getattr(a, name), getattr(b, name)) for name in COUNTS},
        **{name: _common(getattr(a, name), getattr(b, name)) for name in SETTINGS},
        **dict.fromkeys(ORIGIN),
        **{name: min(getattr(a, name), getattr(b, name)) for name in ("start_ns", "start_unix_ns")},
        **{name: max(getattr(a, name), getattr(b, name)) for name in ("end_ns", "end_unix_ns")},
        "wait_max_ns": largest,
        "wait_max_exact": exact,
        "in_flight_ns": max(a.in_flight_ns, b.in_flight_ns),
        "floor_ns": min(floors, default=None),
        "slice_active": a.slice_active and b.slice_active,
        "method": "count" if "count" in methods else a.method,
        "method_reason": a.method_reason if a.method_reason == b.method_reason else "",
        "clock": a.clock if a.clock == b.clock else a.clock or b.clock,
        "gil_enabled": a.gil_enabled if a.gil_enabled == b.gil_enabled else "mixed",
        "histogram": a.histogram + b.histogram,
        "hold_max_ns": longest_hold,
        "hold_max_exact": hold_exact,
        "hold_histogram": a.hold_histogram + b.hold_histogram,
        "_holders": _merged_holders(a, b),
        "_stacks": _merged_stacks(a, b),
        "_looks": None,
        "_merged": _merged_weights(a, b),
    }


def added_fields(a: Snapshot, b: Snapshot) -> dict[str, Any]:
    """Return the fields of two epochs of one meter added up, in constant memory.

    As those of a merge, but looks keep their weights: of one meter they have one unit. And no more
    holders and stacks are kept apart than a meter keeps in an epoch: there may be epochs for ever.
    """
    fields = merged_fields(a, b)
    if a._looks is not None or b._looks is not None:
        sums = zip(look_weights(a), look_weights(b), strict=True)
        fields["_looks"] = tuple(ours + theirs for ours, theirs in sums)
        if a.method == b.method == "look":
            fields["_holders"] = _together(a, a._holders, b, b._holders)
    fields["_holders"] = _gathered(fields["_holders"], a.method)
    if fields["_stacks"] is not None:
        from gilknocker.snapshot.stacks import gathered

        fields["_stacks"] = gathered(fields["_stacks"])
    return fields


def _gathered(holders: _StoredHolders, method: str) -> _StoredHolders:
    """Return holders of which those that held least are one, if there are too many."""
    threads = [holder for holder in holders if holder[0] != CROWD_ID]
    if len(threads) <= MOST_HOLDERS:
        return holders
    threads.sort(key=lambda holder: -holder[3])
    rest = sum(held for *_, held in threads[MOST_HOLDERS:])
    crowds = [holder for holder in holders if holder[0] == CROWD_ID]
    for place, (native_id, serial, name, held) in enumerate(crowds):
        if name in GATHERED_NAMES:
            crowds[place] = native_id, serial, name, held + rest
            break
    else:
        crowds.append((CROWD_ID, 0, GATHERED_NAMES[method != "trace"], rest))
    return (*threads[:MOST_HOLDERS], *crowds)


def _looks_of_window(later: Snapshot, earlier: Snapshot) -> tuple[int, int, int] | None:
    if later._looks is None:
        return None
    held, enabled, squared = (
        now - then for now, then in zip(later._looks, look_weights(earlier), strict=True)
    )
    return held, enabled, squared


def _holds_of_window(later: Snapshot, earlier: Snapshot) -> dict[str, Any]:
    histogram = later.hold_histogram - earlier.hold_histogram
    held_ns = later.held_ns - earlier.held_ns
    most_ended = sum((upper - 1) * count for _, upper, count in histogram)
    longest, exact = min(histogram.highest_ns, later.hold_max_ns), not histogram
    if later.hold_max_ns > earlier.hold_max_ns:
        longest, exact = later.hold_max_ns, later.hold_max_exact
    elif later.method == "trace" and held_ns > most_ended:
        # One is still going on, and in no bucket yet. It may have begun before the window, or
        # another may, whose part in it is less than its bucket says.
        least_ended = sum(lower * count for lower, _, count in histogram)
        going_on = held_ns - least_ended + histogram.highest_ns if histogram else later.hold_max_ns
        longest, exact = min(going_on, later.hold_max_ns), False
    return {"hold_histogram": histogram, "hold_max_ns": longest, "hold_max_exact": exact}


def _holders_of_window(later: Snapshot, earlier: Snapshot) -> _StoredHolders:
    before = {(native_id, serial): held for native_id, serial, _, held in earlier._holders}
    window, gone = [], 0
    for native_id, serial, name, held in later._holders:
        had = before.pop((native_id, serial), 0)
        if held < had:  # it went to the others, and came back
            gone, had = gone + had, 0
        window.append((native_id, serial, name, held - had))
    # Who is not kept apart any more went to the others with all that it had: that is no news.
    gone += sum(before.values())
    return tuple(
        (native_id, serial, name, news)
        for native_id, serial, name, held in window
        if (news := held - gone * (native_id == CROWD_ID and name in GATHERED_NAMES)) > 0
    )


def _merged_holders(a: Snapshot, b: Snapshot) -> _StoredHolders:
    ns = "count" in (a.method, b.method)
    ours, theirs = (_holders_in(one, one.held_ns if ns else one.ticks_held) for one in (a, b))
    return _together(a, ours, b, theirs)


def _together(
    a: Snapshot, holders: _StoredHolders, b: Snapshot, others: _StoredHolders
) -> _StoredHolders:
    # Numbers of threads mean something within one process only.
    same_process = a.pid is not None and a.pid == b.pid
    merged: dict[tuple[object, ...], int] = {}
    for part, of_part in enumerate((holders, others)):
        for native_id, serial, name, held in of_part:
            key = (native_id, serial, name, 0 if same_process else part)
            merged[key] = merged.get(key, 0) + held
    return tuple((*key[:3], held) for key, held in merged.items())  # type: ignore[misc]


def _holders_in(snapshot: Snapshot, whole: int) -> _StoredHolders:
    """Return the holders as parts of `whole`, where they are of looks: each weighs as it did."""
    weight = told_of_holders(snapshot)
    if snapshot.method != "look" or weight in (0, whole):
        return snapshot._holders
    return tuple(
        (native_id, serial, name, round(held * whole / weight))
        for native_id, serial, name, held in snapshot._holders
    )


def _stacks_of_window(later: Snapshot, earlier: Snapshot) -> _StoredStacks:
    if later._stacks is None:  # nobody asked for them: nothing to import
        return None
    from gilknocker.snapshot.stacks import window

    return window(later._stacks, earlier._stacks)


def _merged_stacks(a: Snapshot, b: Snapshot) -> _StoredStacks:
    if a._stacks is None and b._stacks is None:
        return None
    from gilknocker.snapshot.stacks import merged, unknown

    ours = unknown(a, b) if a._stacks is None else a._stacks
    theirs = unknown(b, a) if b._stacks is None else b._stacks
    return merged(ours, theirs)


def _merged_weights(a: Snapshot, b: Snapshot) -> tuple[float, ...]:
    if a.method in EXACT or b.method in EXACT:  # exact times add up by themselves
        return 0.0, 0.0, 0.0
    return tuple(x + y for x, y in zip(weights(a), weights(b), strict=True))


def _check_same_origin(later: Snapshot, earlier: Snapshot) -> None:
    if later.sampler_id is None or earlier.sampler_id is None:
        raise ValueError("a merge of snapshots has no window: it cannot be subtracted")
    for name in ("pid", *ORIGIN):
        ours, theirs = getattr(later, name), getattr(earlier, name)
        if ours != theirs:
            raise ValueError(
                f"later - earlier needs two snapshots of the same {name}, not {ours} and {theirs}"
            )
    if later.end_ns < earlier.end_ns:
        raise ValueError("later - earlier: the first snapshot is the earlier one")
    if later.start_ns != earlier.start_ns and earlier.observed_ns:
        raise ValueError(
            "later - earlier needs two snapshots that begin at the same instant, not at "
            f"{later.start_ns} and {earlier.start_ns} ns"
        )


def _sum(name: str, a: int, b: int) -> int:
    if a + b > MAX_INT64:
        raise ValueError(f"a + b: the sum of {name} does not fit in 64 bits")
    return a + b


def _common(a: int | None, b: int | None) -> int | None:
    return a if a == b else None
