"""What a snapshot stores, and how each kind of field behaves when snapshots meet."""

from __future__ import annotations

from gilknocker._checks import INFINITY, NAN

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    from gilknocker.snapshot.figures import SnapshotFigures

    # Of each thread that held the GIL: native id, serial, name, and how much: ns where that was
    # counted or traced, else ticks.
    _StoredHolders: TypeAlias = tuple[tuple[int, int, str, int], ...]

# Counts and sums: a difference subtracts them, a merge adds them.
COUNTS = (
    "observed_ns",
    "counted_ns",
    "ticks",
    "ticks_held",
    "ticks_own",
    "ticks_late",
    "ticks_missed",
    "ticks_disabled",
    "knocks",
    "knocks_missed",
    "knock_observed_ns",
    "wait_total_ns",
    "cpu_ns",
    "holds",
    "held_ns",
    "waited_ns",
    "thread_ns",
    "wanted_releases",
    "retakes",
    "passed_over_ns",
)
INSTANTS = ("start_ns", "end_ns", "start_unix_ns", "end_unix_ns")
# Settings: None in a merge whose parts differ.
INTERVALS = ("interval_ns", "knock_interval_ns")  # None in every trace, too
SETTINGS = (*INTERVALS, "switch_interval_ns", "pid")
# What makes two snapshots comparable: None in every merge.
ORIGIN = ("sampler_id", "epoch")
FIELDS = (
    *INSTANTS,
    *COUNTS,
    *SETTINGS,
    *ORIGIN,
    "wait_max_ns",
    "wait_max_exact",
    "in_flight_ns",
    "floor_ns",
    "slice_active",
    "method",
    "method_reason",
    "clock",
    "gil_enabled",
    "histogram",
    "hold_max_ns",
    "hold_max_exact",
    "hold_histogram",
    "_holders",
    "_stacks",
    "_looks",
    "_merged",
)
# What only a trace has.
TRACED = (
    *("holds", "waited_ns", "thread_ns", "hold_max_ns"),
    *("wanted_releases", "retakes", "passed_over_ns"),
)
# Methods that see each hold begin and end.
EXACT = ("count", "trace")

# The holder that stands, last in a trace, for all threads that found no room for numbers of their
# own; no thread has its native id.
CROWD_ID = 0
CROWD_NAME = "(other threads)"
# Neither has the one for all threads that ended and are not kept apart.
FOLDED_NAME = "(other ended threads)"
# What the holders are called to which those go that are not kept apart any more.
GATHERED_NAMES = (FOLDED_NAME, "other threads")
MOST_HOLDERS = 256  # that a meter keeps apart

# Of the normal distribution: 95 % lie within so many standard deviations.
_Z95 = 1.959963984540054


def gil_state(ticks: int, disabled: int, otherwise: bool | str) -> bool | str:
    """Return whether there was a GIL, by the looks that found none; `otherwise` without looks."""
    if not ticks:
        return otherwise
    if not disabled:
        return True
    return "mixed" if disabled < ticks else False


def crowd_held_ns(snapshot: SnapshotFigures) -> int:
    """Return for how long threads held the GIL whose waits a trace could not know, ns."""
    if snapshot.method != "trace":
        return 0
    return sum(held for *_, name, held in snapshot._holders if name == CROWD_NAME)


def look_weights(snapshot: SnapshotFigures) -> tuple[int, int, int]:
    """Return for how much time the looks of a meter stand, in units of the shortest.

    Returns
    -------
    held, enabled, squared : int
        Of those that found the GIL held; of all that found a GIL; the sum of the latters' squares.
        Where all looks weigh the same, as they do but for a dense start, they are counted.
    """
    if snapshot._looks is not None:
        return snapshot._looks
    enabled = snapshot.ticks - snapshot.ticks_disabled
    return snapshot.ticks_held, enabled, enabled


def weights(snapshot: SnapshotFigures) -> tuple[float, float, float]:
    """Return what a merge adds up so that it weights by time, not by the number of ticks.

    Returns
    -------
    held_seconds, enabled_seconds, squared_seconds_per_tick : float
        The time the GIL was held, the observed time with a GIL (W), and W**2 / n for its n ticks,
        or as many as they are worth where they do not weigh the same: the variance of a merge's
        held fraction is the sum of the last over the square of the sum of W, so that
        (sum of W)**2 / (sum of the last) is its effective number of ticks
        (L. Kish, Survey Sampling, 1965).
    """
    if snapshot.method in EXACT:
        return snapshot.held_ns / 1e9, snapshot.observed_seconds, 0.0
    if snapshot._merged is not None:
        return snapshot._merged
    enabled = snapshot.ticks - snapshot.ticks_disabled
    if not enabled:
        return 0.0, 0.0, 0.0
    seconds = snapshot.observed_seconds * (enabled / snapshot.ticks)
    held, weight, squared = look_weights(snapshot)
    return seconds * (held / weight), seconds, seconds * seconds * (squared / weight**2)


def is_exact(snapshot: SnapshotFigures) -> bool:
    """Whether each hold of the window was seen to begin and end."""
    if snapshot.method == "count":
        return snapshot.counted_ns >= snapshot.observed_ns
    return snapshot.method == "trace"


def told_of_holders(snapshot: SnapshotFigures) -> int:
    """Return what the holders' numbers are shares of, in their unit: ns, or weights of looks."""
    if snapshot.method == "count":  # of looks in between they have nothing
        return sum(held for *_, held in snapshot._holders)
    return snapshot.held_ns if snapshot.method == "trace" else look_weights(snapshot)[0]


def effective_ticks(snapshot: SnapshotFigures) -> float:
    """Return how many ticks with a GIL the held fraction is worth: infinitely many if exact.

    Of a window that was counted in part: as many as would leave as little doubt in all of it as
    there is by those of the rest.
    """
    if is_exact(snapshot):
        return INFINITY if snapshot.observed_ns else 0.0
    if snapshot.method == "count":
        _, looked, _ = counted_parts(snapshot)
        if not looked:  # the rest was without a GIL
            return INFINITY
        # Not seen at all is what lay between two ways of measuring: no more than one look.
        _, weight, squared = look_weights(snapshot)
        looks = weight**2 / squared if squared else 1.0
        return looks * ((snapshot.counted_ns + looked) / looked) ** 2
    _, seconds, squared_per_tick = weights(snapshot)
    if snapshot._merged is None or not squared_per_tick:
        _, weight, squared = look_weights(snapshot)
        return weight**2 / squared if squared else 0.0
    return seconds * seconds / squared_per_tick


def wilson_interval(fraction: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval for a proportion seen in `n` > 0 draws.

    From E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    J. Am. Stat. Assoc. 22 (1927).
    """
    z2 = _Z95 * _Z95 / n
    centre = (fraction + z2 / 2) / (1 + z2)
    half = (fraction * (1 - fraction) * z2 + z2 * z2 / 4) ** 0.5 / (1 + z2)
    # Without rounding errors the fraction itself lies between them.
    return min(max(centre - half, 0.0), fraction), max(min(centre + half, 1.0), fraction)


def counted_parts(snapshot: SnapshotFigures) -> tuple[float, float, float]:
    """Return of what a window was made that was counted, at least in part, ns.

    Returns
    -------
    counted_held, looked, share : float
        For how long the GIL was held of what was counted; the time that was not, but for that
        without a GIL; and the share of looks that found it held, NaN without any.
    """
    looked = float(max(snapshot.observed_ns - snapshot.counted_ns, 0))
    held_looks, looks, _ = look_weights(snapshot)
    if snapshot.ticks:
        looked *= 1 - snapshot.ticks_disabled / snapshot.ticks
    share = held_looks / looks if looks else NAN
    # A difference has what was estimated anew of the time before, too: no more was held than was
    # counted.
    held = snapshot.held_ns - (share * looked if looks else 0.0)
    return min(max(held, 0.0), float(snapshot.counted_ns)), looked, share


def counted_fraction(snapshot: SnapshotFigures) -> float:
    """Return the held fraction of a window that was counted, at least in part.

    Of what was neither counted nor looked at nothing is known, and it is short.
    """
    held, looked, share = counted_parts(snapshot)
    known = float(snapshot.counted_ns)
    if share == share:
        held += share * looked
        known += looked
    return min(held / known, 1.0) if known else NAN


def counted_interval(snapshot: SnapshotFigures) -> tuple[float, float]:
    """Return where the held fraction lies of a window that was counted, at least in part.

    Exactly there, if all of it was. Of what was looked at it is Wilson's interval, by its share of
    the time.
    """
    held, looked, share = counted_parts(snapshot)
    low, high = 0.0, 1.0
    if share == share:
        _, looks, squared = look_weights(snapshot)
        low, high = wilson_interval(share, looks**2 / squared)
    whole = snapshot.counted_ns + looked
    lower, upper = ((held + part * looked) / whole for part in (low, high))
    return min(lower, 1.0), min(upper, 1.0)
