"""The figures that follow from what a snapshot holds: shares, percentiles, who held, raw times."""

from __future__ import annotations

from gilknocker._checks import NAN
from gilknocker.snapshot.fields import (
    counted_fraction,
    counted_interval,
    effective_ticks,
    look_weights,
    weights,
    wilson_interval,
)
from gilknocker.snapshot.histogram import checked_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    import numpy as np
    import numpy.typing as npt

    from gilknocker.snapshot.fields import _StoredHolders
    from gilknocker.snapshot.histogram import WaitHistogram
    from gilknocker.snapshot.holders import Holder
    from gilknocker.snapshot.raw_waits import RawWaits
    from gilknocker.snapshot.stacks import Blame, HeldStack, _StoredStacks

__all__ = ["SnapshotFigures"]


class SnapshotFigures:
    """The figures of :class:`Snapshot`, of its fields; those are set where it is made."""

    __slots__ = ()

    start_ns: int
    end_ns: int
    start_unix_ns: int
    end_unix_ns: int
    observed_ns: int
    ticks: int
    ticks_held: int
    ticks_own: int
    ticks_late: int
    ticks_missed: int
    ticks_disabled: int
    knocks: int
    knocks_missed: int
    knock_observed_ns: int
    wait_total_ns: int
    wait_max_ns: int
    wait_max_exact: bool
    in_flight_ns: int
    histogram: WaitHistogram
    floor_ns: int | None
    cpu_ns: int
    switch_interval_ns: int | None
    interval_ns: int | None
    knock_interval_ns: int | None
    pid: int | None
    slice_active: bool
    counted_ns: int
    method: Literal["count", "look", "knock", "trace", "outside"]
    method_reason: str
    clock: str | None
    gil_enabled: bool | Literal["mixed"]
    sampler_id: int | None
    epoch: int | None
    holds: int
    held_ns: int
    waited_ns: int
    thread_ns: int
    wanted_releases: int
    retakes: int
    passed_over_ns: int
    hold_max_ns: int
    hold_max_exact: bool
    hold_histogram: WaitHistogram
    _holders: _StoredHolders
    _stacks: _StoredStacks
    _looks: tuple[int, int, int] | None  # where looks do not weigh the same, see look_weights()
    _merged: tuple[float, float, float] | None  # the weights of a merge, see weights()
    _raw: RawWaits | None
    _raw_holds: RawWaits | None

    @property
    def observed_seconds(self) -> float:
        """The time within the window in which the sampler ran, s."""
        return self.observed_ns / 1e9

    @property
    def held_fraction(self) -> float | None:
        """The share of time that a thread that is not ours held the GIL, 0 to 1.

        Counted or traced, it is exact: ``held_ns / observed_ns``. Counted in part, the rest is as
        the looks in it say. Of looks
        ``ticks_held / (ticks - ticks_disabled)``, each weighted by the time that it stands for if
        they came more densely at first; of a merge of those, the parts' mean weighted by their
        observed time with a GIL. NaN where nothing was counted and no look taken, None if there was
        no GIL in the whole window.
        One busy thread alone reads 1.0: that is not contention, see the waits.
        """
        if self.method == "count":
            return counted_fraction(self)
        if self.method == "trace":
            return self.held_ns / self.observed_ns if self.observed_ns else NAN
        enabled = self.ticks - self.ticks_disabled
        if not enabled:
            return None if self.ticks or self.gil_enabled is False else NAN
        held_seconds, enabled_seconds, _ = weights(self)
        if self._merged is None or not enabled_seconds:
            held, weight, _ = look_weights(self)
            return held / weight
        return held_seconds / enabled_seconds

    @property
    def held_fraction_interval(self) -> tuple[float, float] | None:
        """The 95 % confidence interval (low, high) of `held_fraction`, by Wilson's formula.

        What was counted is known: the interval is that of the rest, by its share of the time, and
        of no width where all was counted.

        It is for the fraction realised in that window, not for what the program does in general,
        and says nothing of missed ticks. Ticks that are spread evenly, as ours are, are more
        exact than the formula assumes. Of a merge: for its effective number of ticks (Kish).
        (0.0, 1.0) without ticks, None if there was no GIL.
        """
        fraction = self.held_fraction
        if fraction is None:
            return None
        if fraction != fraction:
            return 0.0, 1.0
        if self.method == "count":
            return counted_interval(self)
        return wilson_interval(fraction, effective_ticks(self))

    @property
    def held_seconds(self) -> float:
        """How long the GIL was held, s: `held_ns`, NaN where nothing is known of it.

        Of looks it is `held_fraction` of the observed time with a GIL; where that falls, it waits
        until it has caught up: no later snapshot of an epoch says less than an earlier one.
        """
        fraction = self.held_fraction
        if fraction is not None and fraction != fraction:
            return NAN
        # The parts of a merge of looks weigh as their time with a GIL.
        return self.held_ns / 1e9 if self._merged is None else weights(self)[0]

    @property
    def knock_wait_fraction(self) -> float:
        """The sum of the knocks' waits over the time in which they were asked, NaN without any.

        It depends on how often one asks: compare only what has the same `knock_interval_ns`.
        """
        if not self.knock_observed_ns:
            return NAN
        return self.wait_total_ns / self.knock_observed_ns

    @property
    def wait_fraction(self) -> float | None:
        """The share of their time that the program's threads waited for the GIL, 0 to 1.

        ``waited_ns / thread_ns``. Only tracing can tell: None for what was sampled, NaN where no
        thread was seen.
        """
        if self.method != "trace":
            return None
        return self.waited_ns / self.thread_ns if self.thread_ns else NAN

    @property
    def holders(self) -> tuple[Holder, ...]:
        """Who held the GIL: each thread's share of the time held, largest first.

        Of looks, those that could be told; of a trace, all. Empty where nobody held it, or where
        nothing is known of who did.
        """
        from gilknocker.snapshot.holders import shares

        return shares(self._holders)

    @property
    def stacks(self) -> tuple[HeldStack, ...]:
        """By which stacks the GIL was held, the largest first; their times sum to `held_seconds`.

        A sample, of the looks that found it held: ``frames`` (outermost first, each with its
        ``function``, ``file`` and ``line``), ``thread``, ``held_seconds``, ``native``. One without
        frames is of the looks that could not tell, and of what a merge has from snapshots without
        stacks. Empty where stacks were not asked for, by ``KnockKnock(stacks=True)`` or
        ``GilTracer(stacks=True)``. Equal stacks of threads of one name are one.
        """
        from gilknocker.snapshot.stacks import held_stacks

        return held_stacks(self._stacks, self.held_seconds)

    @property
    def blame(self) -> tuple[Blame, ...]:
        """Who paid: each function, how long it held the GIL, and how long others waited for that.

        The largest wait first: ``function``, ``file``, ``held_seconds``, ``waited_seconds``, and
        of those ``retaken_seconds``, in which its thread had taken the GIL back from them. Waits
        are the threads' own of a trace, else those of our knocks, shared out by the looks that saw
        somebody wait: their sum is that of all waits. Empty where stacks were not asked for.
        """
        from gilknocker.snapshot.stacks import blame

        return blame(self)

    @property
    def wait_mean_ns(self) -> float:
        """The mean wait of a knock in ns, NaN without knocks."""
        return self.wait_total_ns / self.knocks if self.knocks else NAN

    def percentile(self, p: float) -> float:
        """Return the wait that `p` percent of the knocks did not exceed.

        Parameters
        ----------
        p : float
            0 to 100.

        Returns
        -------
        float
            In ns, at most 0.8 % off (see :meth:`WaitHistogram.percentile`). ``percentile(100)``
            is `wait_max_ns`. NaN without knocks, which strict JSON has not: see :meth:`summary`.

        Raises
        ------
        TypeError
            If `p` is not a real number.
        ValueError
            If `p` is not from 0 to 100.
        """
        if checked_percent(p) == 100 and self.knocks:
            return float(self.wait_max_ns)
        return self.histogram.percentile(p, max_ns=self.wait_max_ns)

    def hold_percentile(self, p: float) -> float:
        """Return the hold that `p` percent of the holds of a trace did not exceed, in ns.

        As :meth:`percentile` has it of waits; NaN without holds, as where nothing was traced.
        """
        return self.hold_histogram.percentile(p, max_ns=self.hold_max_ns)

    def exceeds(self, ns: float) -> int:
        """Return how many knocks waited longer than `ns`; see :meth:`WaitHistogram.exceeds`."""
        return self.histogram.exceeds(ns)

    @property
    def wait_times(self) -> npt.NDArray[np.int64]:
        """The knocks' waits in ns, oldest first: read-only int64 array, shape ``(n,)``.

        Only if they were asked for, by ``snapshot(waits=True)``: else an AttributeError. There
        are ``knocks - waits_dropped`` of them. A merge has those of all parts, if all have them.
        """
        return self._raw_waits().wait_times

    @property
    def knock_times(self) -> npt.NDArray[np.int64]:
        """When each of `wait_times` was asked for, ns of ``time.monotonic_ns``."""
        return self._raw_waits().knock_times

    @property
    def waits_dropped(self) -> int:
        """How many of the window's knocks are no longer in `wait_times`: the log keeps the newest.

        An AttributeError without raw waits.
        """
        return self.knocks - len(self._raw_waits())

    @property
    def hold_times(self) -> npt.NDArray[np.int64]:
        """The holds of a trace in ns, oldest first: read-only int64 array, shape ``(n,)``.

        Only if asked for, by ``GilTracer.snapshot(waits=True)``: else an AttributeError. There
        are ``holds - holds_dropped`` of them.
        """
        return self._raw_hold_times().wait_times

    @property
    def hold_starts(self) -> npt.NDArray[np.int64]:
        """When each of `hold_times` began, ns of ``time.monotonic_ns``."""
        return self._raw_hold_times().knock_times

    @property
    def holds_dropped(self) -> int:
        """How many of the window's holds are no longer in `hold_times`."""
        return self.holds - len(self._raw_hold_times())

    def _raw_waits(self) -> RawWaits:
        if self._raw is None:
            raise AttributeError(
                "this snapshot has no raw waits: take it with KnockKnock.snapshot(waits=True) or "
                "GilTracer.snapshot(waits=True)"
            )
        return self._raw

    def _raw_hold_times(self) -> RawWaits:
        if self._raw_holds is None:
            raise AttributeError(
                "this snapshot has no raw holds: take it with GilTracer.snapshot(waits=True)"
            )
        return self._raw_holds
