"""Which functions held the GIL for more or less of the time, from one snapshot to another."""

from __future__ import annotations

from typing import NamedTuple

from gilknocker.reports.comparison import Difference
from gilknocker.reports.stacks import short_path
from gilknocker.snapshot.fields import EXACT, effective_ticks, wilson_interval
from gilknocker.snapshot.stacks import FOLDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from gilknocker.snapshot.value import Snapshot

    _Function: TypeAlias = tuple[str, str]  # its name, its file

__all__ = ["FunctionChange", "function_changes"]

_NOT_COMPARED = ("", FOLDED[0][0])  # what could not be told, and what was put together


class FunctionChange(NamedTuple):
    """How much of the time a function held the GIL: of two snapshots.

    Attributes
    ----------
    function, file : str
        As those of `Blame`; of a file that is elsewhere in the second snapshot, that of the first.
    held : Difference
        Of the shares of all time, 0 to 1, in which the GIL was held by it, with the 95 % interval.
    seconds : (float, float)
        How long it was held by it, s.
    """

    function: str
    file: str
    held: Difference
    seconds: tuple[float, float]


def function_changes(a: Snapshot, b: Snapshot) -> tuple[FunctionChange, ...] | None:
    """Return all functions by which the GIL was held, the largest change first.

    None where one has no stacks, or nothing is known of how much the GIL was held.
    """
    sums = [_held_seconds(snapshot) for snapshot in (a, b)]
    looks = [_looks(snapshot) for snapshot in (a, b)]
    if sums[0] is None or sums[1] is None or not all(looks):
        return None
    pairs = _paired(sums[0], sums[1])
    changes = [
        FunctionChange(*function, _difference(seconds, (a, b), looks), seconds)
        for function, seconds in pairs.items()
        if function[0] not in _NOT_COMPARED
    ]
    return tuple(sorted(changes, key=lambda one: -abs(one.held.change)))


def _held_seconds(snapshot: Snapshot) -> dict[_Function, float] | None:
    if snapshot._stacks is None or not snapshot.observed_ns:
        return None
    return {(row.function, row.file): row.held_seconds for row in snapshot.blame}


def _paired(
    a: dict[_Function, float], b: dict[_Function, float]
) -> dict[_Function, tuple[float, float]]:
    """Return the figures of both: of a function whose file has moved, too.

    As that of another Python or environment: if there is one such in each of the two.
    """
    pairs = {function: (seconds, b.get(function, 0.0)) for function, seconds in a.items()}
    moved = _by_short_path([function for function in a if function not in b])
    for short, others in _by_short_path([one for one in b if one not in a]).items():
        ours = moved.get(short, [])
        if len(ours) == len(others) == 1:
            pairs[ours[0]] = (a[ours[0]], b[others[0]])
        else:
            pairs.update({function: (0.0, b[function]) for function in others})
    return pairs


def _by_short_path(functions: list[_Function]) -> dict[_Function, list[_Function]]:
    found: dict[_Function, list[_Function]] = {}
    for name, file in functions:
        found.setdefault((name, short_path(file)), []).append((name, file))
    return found


def _looks(snapshot: Snapshot) -> float:
    """Return how many looks a share of the stacks is worth: they see each, whatever else counts."""
    if snapshot.method in EXACT:
        return float(snapshot.ticks - snapshot.ticks_disabled)
    return effective_ticks(snapshot)


def _difference(
    seconds: tuple[float, float], snapshots: tuple[Snapshot, Snapshot], looks: list[float]
) -> Difference:
    (a, a_interval), (b, b_interval) = (
        _share(held, snapshot, n)
        for held, snapshot, n in zip(seconds, snapshots, looks, strict=True)
    )
    return Difference(a, a_interval, b, b_interval)


def _share(held: float, snapshot: Snapshot, looks: float) -> tuple[float, tuple[float, float]]:
    """Return a function's share of all time, and its interval."""
    share = min(held / snapshot.observed_seconds, 1.0)
    return share, wilson_interval(share, looks)
