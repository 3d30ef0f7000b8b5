"""What may be asked of KnockKnock: its arguments checked, defaults filled in, all in ns.

Annotations are in quotes where they are not plain: `from __future__` imports a module, which the
first KnockKnock() has no use for. Nor has it for `_checks`, unless an argument is not as usual, and
each module costs it more than 0.1 ms.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import SimpleNamespace
    from typing import SupportsIndex
else:
    SimpleNamespace = type(sys.implementation)  # without importing types for it

__all__ = ["Settings", "checked_method", "checked_overhead", "settle"]

DEFAULT_INTERVAL_MICROS = 1_000
DEFAULT_TIMEOUT_NS = 1_000_000_000
# Denser knocks disturb the program, and the looks with it (docs/measurement.md).
INTERVALS_PER_KNOCK = 10
METHODS = ("auto", "count", "look", "knock")
DEFAULT_MAX_OVERHEAD = 0.01
# The schedule of gilknocker 0.4.
DEFAULT_POLLING_MICROS = 1_000
POLLINGS_PER_SAMPLING = 10
POLLINGS_PER_SLEEPING = 100
LEAST_WATCHER_INTERVAL_NS = 5_000_000  # of that schedule: it is for meters that are always on
# So dense looks may be at first, where denser polling is asked for than looks come.
LEAST_DENSE_INTERVAL_NS = 100_000

LATE_AFTER_NS = 50_000  # or a tenth of the interval, if that is more
# A knock that waits longer, or is still waiting then, met a held GIL, where knocks answer for
# looks: a free one takes 0.1 µs to get, 15 µs with cold caches. Linux tells of a knock that has
# ended whether it had to wait, so that there only those under way are judged by this.
CONTENDED_AFTER_NS = 1_000_000 if sys.platform == "linux" else 50_000
LOG_CAPACITY = 1 << 20

MAX_NS = 2**63 - 1
MAX_MICROS = MAX_NS // 1_000
_MICROS = f"an integer (microseconds) from {{}} to {MAX_MICROS}"
_SHARE = "a real number (a share of time) from 0 to 1"
_SECONDS = "a real number (seconds) from 0 to 9.2e9"


class Settings(SimpleNamespace):
    """All that a sampler has to know, in ns; ``knocks_per_burst`` 0 is one endless burst.

    Looks begin at ``interval_ns / 2**dense_start``, which then doubles so often.
    """

    interval_ns: int
    dense_start: int
    knock_interval_ns: int
    knocks_per_burst: int
    burst_rest_ns: int
    late_after_ns: int
    contended_after_ns: int
    log_capacity: int
    timeout_ns: int

    def __iter__(self) -> "Iterator[int]":
        return iter(vars(self).values())


def settle(
    *,
    interval_micros: "SupportsIndex | None" = None,
    timeout_secs: "float | None" = None,
    knock_interval_micros: "SupportsIndex | None" = None,
    polling_interval_micros: "SupportsIndex | None" = None,
    sampling_interval_micros: "SupportsIndex | None" = None,
    sleeping_interval_micros: "SupportsIndex | None" = None,
    timeout_micros: "SupportsIndex | None" = None,
) -> Settings:
    """Check the arguments of ``KnockKnock`` and fill in what was not given (None).

    Raises
    ------
    TypeError
        If a value has the wrong type, or one thing was given in two spellings.
    ValueError
        If a value is out of range: intervals are > 0, timeouts >= 0 and finite, and all of them,
        with what is derived from them, at most 2**63 - 1 ns.
    """
    interval = _optional_micros("interval_micros", interval_micros)
    knock_interval = _optional_micros("knock_interval_micros", knock_interval_micros)
    polling = _optional_micros("polling_interval_micros", polling_interval_micros)
    sampling = _optional_micros("sampling_interval_micros", sampling_interval_micros)
    sleeping = _optional_micros("sleeping_interval_micros", sleeping_interval_micros)
    timeout_ns = _timeout_ns(timeout_secs, timeout_micros)

    if polling is None and sampling is None and sleeping is None:
        return _continuous(interval, knock_interval, timeout_ns)
    if knock_interval is not None:
        raise TypeError(
            "knock_interval_micros cannot be combined with polling_interval_micros, "
            "sampling_interval_micros or sleeping_interval_micros: both say when to knock"
        )
    return _bursts(interval, polling, sampling, sleeping, timeout_ns)


def checked_method(value: object) -> str:
    """Return `value` if it is a method, or raise a TypeError or ValueError that says what is."""
    if isinstance(value, str) and value in METHODS:
        return value
    from gilknocker._checks import shown

    error = ValueError if isinstance(value, str) else TypeError
    raise error(f"method must be one of {', '.join(METHODS)}, not {shown(value)}")


def checked_overhead(value: float) -> float:
    """Return `value` as a share of time, or raise a TypeError or ValueError."""
    if type(value) is float and 0 <= value <= 1:
        return value
    from gilknocker._checks import checked_real, shown

    share = checked_real("max_overhead", value, _SHARE)
    if not 0 <= share <= 1:
        raise ValueError(f"max_overhead must be {_SHARE}, not {shown(value)}")
    return share


def _continuous(interval: "int | None", knock_interval: "int | None", timeout_ns: int) -> Settings:
    interval_ns = interval or DEFAULT_INTERVAL_MICROS * 1_000
    knock_interval_ns = knock_interval or _times(
        "interval_micros", interval_ns, INTERVALS_PER_KNOCK, "the default knock_interval_micros"
    )
    return _settings(interval_ns, knock_interval_ns, 0, 0, timeout_ns)


def _bursts(
    interval: "int | None",
    polling: "int | None",
    sampling: "int | None",
    sleeping: "int | None",
    timeout_ns: int,
) -> Settings:
    name = "polling_interval_micros"
    polling_ns = polling or DEFAULT_POLLING_MICROS * 1_000
    sampling_ns = sampling or _times(
        name, polling_ns, POLLINGS_PER_SAMPLING, "the default sampling_interval_micros"
    )
    twice = "twice the default sleeping_interval_micros"
    sleeping_ns = sleeping or _times(name, polling_ns, 2 * POLLINGS_PER_SLEEPING, twice) // 2
    knocks = max(sampling_ns // polling_ns, 1)
    # 0.4 looks after each rest whether its burst is over, and begins the next one a rest later.
    period_ns = sleeping_ns * (sampling_ns // sleeping_ns + 2)
    if period_ns > MAX_NS:
        raise ValueError(
            f"sampling_interval_micros and twice sleeping_interval_micros must together be at most "
            f"{MAX_MICROS}, not {sampling_ns // 1_000} + 2 * {sleeping_ns // 1_000}"
        )
    # Where a burst of one knock outlasts that, the next one follows at once.
    rest_ns = max(period_ns - knocks * polling_ns, 0)
    interval_ns = interval or max(polling_ns, LEAST_WATCHER_INTERVAL_NS)
    settings = _settings(interval_ns, polling_ns, knocks, rest_ns, timeout_ns)
    if interval is None:
        settings.dense_start = _doublings(max(polling_ns, LEAST_DENSE_INTERVAL_NS), interval_ns)
    return settings


def _doublings(least: int, most: int) -> int:
    """Return how often the half, quarter... of `most` that is not above `least` doubles."""
    return max((most - 1) // least, 0).bit_length()


def _settings(
    interval_ns: int, knock_interval_ns: int, knocks_per_burst: int, rest_ns: int, timeout_ns: int
) -> Settings:
    return Settings(
        interval_ns=interval_ns,
        dense_start=0,
        knock_interval_ns=knock_interval_ns,
        knocks_per_burst=knocks_per_burst,
        burst_rest_ns=rest_ns,
        late_after_ns=max(LATE_AFTER_NS, interval_ns // 10),
        contended_after_ns=CONTENDED_AFTER_NS,
        log_capacity=LOG_CAPACITY,
        timeout_ns=timeout_ns,
    )


def _optional_micros(name: str, value: "SupportsIndex | None") -> "int | None":
    """Return an interval in ns, None if it was not given."""
    return None if value is None else _micros(name, value, least=1) * 1_000


def _micros(name: str, value: "SupportsIndex", least: int) -> int:
    if type(value) is int and least <= value <= MAX_MICROS:
        return value
    from gilknocker._checks import checked_index

    return checked_index(name, value, _MICROS.format(least), least=least, most=MAX_MICROS)


def _timeout_ns(secs: "float | None", micros: "SupportsIndex | None") -> int:
    if micros is None:
        return DEFAULT_TIMEOUT_NS if secs is None else _seconds("timeout_secs", secs)
    if secs is not None:
        raise TypeError("timeout_secs and timeout_micros cannot be combined: both are the timeout")
    return _micros("timeout_micros", micros, least=0) * 1_000


def _seconds(name: str, value: float) -> int:
    """Return a time in ns, to the nearest."""
    from gilknocker._checks import checked_real, shown

    ns = checked_real(name, value, _SECONDS) * 1e9
    if not 0 <= ns <= MAX_NS:
        raise ValueError(f"{name} must be {_SECONDS}, not {shown(value)}")
    return round(ns)


def _times(name: str, ns: int, factor: int, what: str) -> int:
    if factor * ns > MAX_NS:
        raise ValueError(
            f"{name} must be at most {MAX_MICROS // factor}, not {ns // 1_000}, unless {what} "
            f"({factor} times that) is replaced"
        )
    return factor * ns
