"""What changed between two snapshots, and whether it is more than chance.

Held fractions
    Newcombe's interval for the difference of two proportions, from the Wilson interval (l, u) of
    each fraction p::

        d = p_b - p_a
        d - sqrt((p_b - l_b)**2 + (u_a - p_a)**2)   to   d + sqrt((u_b - p_b)**2 + (p_a - l_a)**2)

    R. G. Newcombe, "Interval estimation for the difference between independent proportions",
    Statistics in Medicine 17 (1998), method 10.
Percentiles of waits
    Each percentile q of n waits has an interval between two order statistics, x_(r) and x_(s):
    r is the greatest rank with P(B < r) <= 0.025, s the least with P(B < s) >= 0.975, where B is
    binomial (n, q); W. J. Conover, Practical Nonparametric Statistics (3rd ed. 1999), 3.2. Read
    from the histogram they are rounded outward to the ends of their buckets. No lower rank: 0; no
    upper: unbounded. The difference takes them as above takes l and u: G. Y. Zou and A. Donner,
    "Construction of confidence limits about effect measures", Statistics in Medicine 27 (2008).

Functions
    The share of all time in which one held the GIL is the share of looks that found it so: a
    proportion, as the held fraction, and its difference has the same interval.

All assume independent draws. Neighbouring waits are not quite, so the intervals of percentiles are
somewhat too narrow; those of held fractions too wide, for looks are spread evenly. And they are for
the two runs that were measured: how much one and the same program varies from run to run, only
repeated runs can tell.
"""

from __future__ import annotations

import math
import sys

from gilknocker._checks import shown
from gilknocker._units import fitting, format_ns, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from gilknocker.reports.function_changes import FunctionChange
    from gilknocker.snapshot.value import Snapshot

__all__ = [
    "Comparison",
    "Difference",
    "compare",
    "held_difference",
    "percentile_interval",
    "wait_difference",
]

FORMAT = "gilknocker.comparison"
VERSION = 1
PERCENTS = (50, 90, 99)
_MOST_FUNCTIONS = 8
_TAIL = 0.025  # on either side of a 95 % interval
_LOW_MARGIN = 40.0  # standard deviations below the mean, where nothing of a binomial is left


class Difference:
    """A figure of two snapshots, b - a, with its 95 % interval.

    Attributes
    ----------
    a, b : float
        The figures.
    low, high : float
        The interval of ``b - a``; infinite where there is no bound.
    """

    __slots__ = ("a", "b", "high", "low")

    def __init__(
        self, a: float, a_interval: tuple[float, float], b: float, b_interval: tuple[float, float]
    ) -> None:
        self.a, self.b = a, b
        self.low = b - a - math.hypot(b - b_interval[0], a_interval[1] - a)
        self.high = b - a + math.hypot(b_interval[1] - b, a - a_interval[0])

    @property
    def change(self) -> float:
        """``b - a``."""
        return self.b - self.a

    @property
    def is_certain(self) -> bool:
        """Whether the difference is larger than its uncertainty: 0 is outside the interval."""
        return self.low > 0 or self.high < 0


def held_difference(a: Snapshot, b: Snapshot) -> Difference | None:
    """Return the difference of the held fractions; None where one has no GIL or no looks."""
    figures = []
    for snapshot in (a, b):
        fraction, interval = snapshot.held_fraction, snapshot.held_fraction_interval
        if fraction is None or interval is None or math.isnan(fraction):
            return None
        figures += [(fraction, interval)]
    (p_a, interval_a), (p_b, interval_b) = figures
    return Difference(p_a, interval_a, p_b, interval_b)


def wait_difference(a: Snapshot, b: Snapshot, percent: float) -> Difference | None:
    """Return the difference of a percentile of the waits, ns; None where one has no knocks."""
    if not (a.knocks and b.knocks):
        return None
    return Difference(
        a.percentile(percent),
        percentile_interval(a, percent),
        b.percentile(percent),
        percentile_interval(b, percent),
    )


def percentile_interval(snapshot: Snapshot, percent: float) -> tuple[float, float]:
    """Return the 95 % interval of a percentile of at least one wait, ns.

    The lower bound is 0 and the upper infinite where there are too few waits to have one.
    """
    lower, upper = _ranks(snapshot.knocks, percent / 100)
    low, high = 0.0, math.inf
    reached = 0
    for bucket_low, bucket_high, count in snapshot.histogram:
        if reached < lower <= reached + count:
            low = float(bucket_low)
        if reached < upper <= reached + count:
            high = float(min(bucket_high - 1, snapshot.wait_max_ns))
        reached += count
    figure = snapshot.percentile(percent)
    return min(low, figure), max(high, figure)


def _ranks(n: int, q: float) -> tuple[int, int]:
    """Return the ranks (r, s) between which the q-quantile lies; 0 and n + 1 are no bound."""
    if not 0 < q < 1:
        return (0, 1) if q <= 0 else (n, n + 1)
    # Sums of the binomial's terms from where they are next to nothing: each from the one before.
    spread = math.sqrt(n * q * (1 - q))
    k = max(int(n * q - _LOW_MARGIN * spread - _LOW_MARGIN), 0)
    log_term = (
        math.lgamma(n + 1)
        - math.lgamma(k + 1)
        - math.lgamma(n - k + 1)
        + k * math.log(q)
        + (n - k) * math.log1p(-q)
    )
    below, lower = 0.0, 0  # below is P(B < k)
    while k <= n:
        if below <= _TAIL:
            lower = k
        elif below >= 1 - _TAIL:
            return lower, k
        below += math.exp(log_term)
        if k < n:
            log_term += math.log((n - k) / (k + 1) * q / (1 - q))
        k += 1
    return lower, n + 1


class Comparison:
    """What changed from one snapshot to another: made by :func:`compare`.

    ``str()`` is it as text, and a notebook shows it as a table.

    Attributes
    ----------
    a, b : Snapshot
        Before and after.
    names : (str, str)
        What they are called.
    held : Difference or None
        Of the held fractions; None where one has no GIL or no looks.
    waits : dict of int to Difference or None
        Of the waits, ns, at the percentiles 50, 90 and 99; None where one has no knocks.
    functions : tuple of FunctionChange, or None
        Of each function how much of the time it held the GIL, the largest change first; None where
        one has no stacks.
    """

    __slots__ = ("a", "b", "functions", "held", "names", "waits")

    def __init__(self, a: Snapshot, b: Snapshot, names: tuple[str, str]) -> None:
        self.a, self.b, self.names = a, b, names
        self.held = held_difference(a, b)
        self.waits = {percent: wait_difference(a, b, percent) for percent in PERCENTS}
        self.functions: tuple[FunctionChange, ...] | None = None
        if a._stacks is not None and b._stacks is not None:
            from gilknocker.reports.function_changes import function_changes  # it imports this

            self.functions = function_changes(a, b)

    def __str__(self) -> str:
        lines = [*self._heads(), *_aligned(self._rows())]
        if functions := self._function_rows():
            lines += [_FUNCTIONS, *_aligned(functions)]
        lines += _MEANING
        # It is most often printed.
        return fitting("\n".join(lines + self._caveats()), sys.stdout)

    def __repr__(self) -> str:
        return str(self)  # a notebook without HTML, or a terminal, shows this

    def _repr_html_(self) -> str:
        from gilknocker.reports.card import comparison_card

        rows = [*self._rows(), *self._function_rows()]
        return comparison_card(self._heads(), rows, [" ".join(_MEANING), *self._caveats()])

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as a dict for ``json.dump``: docs/json.md says what is in it."""
        functions = self.functions
        return {
            "format": FORMAT,
            "version": VERSION,
            "names": list(self.names),
            "observed_ns": [self.a.observed_ns, self.b.observed_ns],
            "method": [self.a.method, self.b.method],
            "held_fraction": _stored(self.held),
            "waits_ns": {f"p{percent}": _stored(one) for percent, one in self.waits.items()},
            "functions": None
            if functions is None
            else [
                {
                    "function": one.function,
                    "file": one.file,
                    "held_seconds": list(one.seconds),
                    "held_fraction": _stored(one.held),
                }
                for one in functions
            ],
        }

    def _heads(self) -> list[str]:
        return [
            f"{letter}: {printable(str(name))}, {format_ns(snapshot.observed_ns, digits=3)}"
            for letter, name, snapshot in zip("AB", self.names, (self.a, self.b), strict=True)
        ]

    def _rows(self) -> list[Sequence[str]]:
        rows: list[Sequence[str]] = [("", "A", "B", "B - A (95 % interval)", "")]
        rows.append(("GIL held", *_held_cells(self.held)))
        for percent, difference in self.waits.items():
            rows.append((f"wait p{percent}", *_wait_cells(difference)))
        return rows

    def _function_rows(self) -> list[Sequence[str]]:
        """Return those that changed by more than their uncertainty."""
        changed = [one for one in self.functions or () if one.held.is_certain]
        return [(_function_label(one), *_function_cells(one)) for one in changed[:_MOST_FUNCTIONS]]

    def _caveats(self) -> list[str]:
        found = []
        if self.a.method != self.b.method:
            methods = f"{self.a.method!r} and {self.b.method!r}"
            found.append(f"Note: measured by different methods, {methods}.")
        with_stacks = [snapshot._stacks is not None for snapshot in (self.a, self.b)]
        if any(with_stacks) and not all(with_stacks):
            only = "A" if with_stacks[0] else "B"
            found.append(f"Note: functions are not compared: only {only} has stacks.")
        elif self.functions is not None and not self._function_rows():
            found.append("No function held the GIL for more or less, beyond the uncertainty.")
        return found


_FUNCTIONS = "Functions that held the GIL for more or less of the time:"
_MEANING = [
    "The uncertainty is that of measuring these two runs; how much runs differ by themselves,",
    "only more runs can tell.",
]


def compare(a: Snapshot, b: Snapshot, names: tuple[str, str] = ("before", "after")) -> Comparison:
    """Say what changed from one snapshot to another, and whether it is more than chance.

    Parameters
    ----------
    a, b : Snapshot
        Before and after.
    names : (str, str), default ("before", "after")
        What to call them.

    Returns
    -------
    Comparison
        The differences of held fractions, of percentiles of waits, and of what each function held
        if both have stacks, with 95 % intervals; to be printed, or shown in a notebook.

    Raises
    ------
    TypeError
        If `a` or `b` is no snapshot, or `names` are no strings.
    ValueError
        If `names` are not two.

    Examples
    --------
    >>> print(gilknocker.compare(threads, processes))  # doctest: +SKIP
    A: before, 2.00 s
    B: after, 1.30 s
                A       B       B - A (95 % interval)
      GIL held  93.6 %  27.9 %  -65.7 (-68.3 to -62.9) points  B is lower
      ...
    """
    from gilknocker.snapshot.value import Snapshot

    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, Snapshot):
            raise TypeError(f"{name} must be a Snapshot, not {shown(value)}")
    return Comparison(a, b, _checked_names(names))


def _checked_names(names: Any) -> tuple[str, str]:
    problem = f"names must be two strings, not {shown(names)}"
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        raise TypeError(problem)
    if len(names) != 2:
        raise ValueError(problem)
    return names[0], names[1]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _stored(difference: Difference | None) -> dict[str, Any] | None:
    """Return a difference as JSON has it: no bound is null."""
    if difference is None:
        return None
    low, high = (None if math.isinf(end) else end for end in (difference.low, difference.high))
    return {
        "a": difference.a,
        "b": difference.b,
        "change": difference.change,
        "interval": [low, high],
        "certain": difference.is_certain,
    }


def _function_label(change: FunctionChange) -> str:
    from gilknocker.reports.stacks import short_path

    where = f" ({short_path(change.file)})" if change.file else ""
    return printable(f"{change.function}{where}")


def _function_cells(change: FunctionChange) -> tuple[str, str, str, str]:
    a, b, *rest = _held_cells(change.held)
    seconds = [format_ns(1e9 * one, 3) if one else "0 s" for one in change.seconds]
    return f"{a}, {seconds[0]}", f"{b}, {seconds[1]}", rest[0], rest[1]


def _held_cells(difference: Difference | None) -> tuple[str, str, str, str]:
    if difference is None:
        return "-", "-", "-", "unknown: no looks, or no GIL"
    figures = (difference.a, difference.b)
    change, low, high = (
        f"{100 * value:+.1f}" for value in (difference.change, difference.low, difference.high)
    )
    shown_a, shown_b = (f"{100 * value:.1f} %" for value in figures)
    return shown_a, shown_b, f"{change} ({low} to {high}) points", _verdict(difference)


def _wait_cells(difference: Difference | None) -> tuple[str, str, str, str]:
    if difference is None:
        return "-", "-", "-", "unknown: no knocks"
    change, low, high = map(_signed, (difference.change, difference.low, difference.high))
    interval = f"{change} ({low} to {high})"
    return format_ns(difference.a), format_ns(difference.b), interval, _verdict(difference)


def _signed(ns: float) -> str:
    if math.isinf(ns):
        return "no limit"
    return f"{'-' if ns < 0 else '+'}{format_ns(abs(ns))}"


def _verdict(difference: Difference) -> str:
    if not difference.is_certain:
        return "no larger than the uncertainty"
    return "B is lower" if difference.change < 0 else "B is higher"
