"""What was measured up to one instant, as a value: kept, compared, subtracted, merged, stored.

What a program may never do with one is imported by its use: every import is paid for by its start.
"""

from __future__ import annotations

from gilknocker._checks import NAN, shown
from gilknocker.snapshot.fields import (
    FIELDS,
    counted_interval,
    effective_ticks,
    look_weights,
    weights,
    wilson_interval,
)
from gilknocker.snapshot.histogram import WaitHistogram, checked_percent
from gilknocker.snapshot.raw_waits import RawWaits, merged
from gilknocker.snapshot.views import SnapshotViews

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal

    import numpy as np
    import numpy.typing as npt

    from gilknocker.snapshot.fields import _StoredHolders
    from gilknocker.snapshot.holders import Holder
    from gilknocker.snapshot.stacks import Blame, HeldStack, _StoredStacks

__all__ = ["Snapshot"]

_set = object.__setattr__


class Snapshot(SnapshotViews):
    """The numbers of one window: immutable, hashable, made by the meters.

    ``later - earlier`` is the window between two snapshots of one sampler, without a reset.
    ``a + b`` takes together what was measured by the same method anywhere: its held fraction
    weights by observed time, not by the number of ticks. ``sum(snapshots)`` works too.

    Attributes
    ----------
    start_ns, end_ns : int
        The window on the clock of ``time.monotonic_ns``. Of a merge: the first start, the last
        end (which means little where the parts come from different machines).
    start_unix_ns, end_unix_ns : int
        The same on the wall clock, ``time.time_ns``.
    observed_ns : int
        The time within the window in which the sampler ran.
    ticks : int
        Looks taken. `ticks_held`, `ticks_own`, `ticks_late` and `ticks_disabled` are among them.
    ticks_held, ticks_own : int
        Looks that found the GIL held by the program; by a knocker of ours, which does not count
        as held.
    ticks_late : int
        Looks later than max(50 µs, 10 % of the interval) after their instant.
    ticks_missed : int
        Instants that passed before the watcher woke: nothing is known of them, not in `ticks`.
    ticks_disabled : int
        Looks that found the GIL switched off (free-threaded Python).
    knocks, knocks_missed : int
        Knocks answered; instants that passed while a knock was waiting or not yet awake.
    knock_observed_ns : int
        The time over which knocks were asked, without the rests between bursts.
    wait_total_ns, wait_max_ns : int
        The sum of the knocks' waits, and the longest, 0 without knocks.
    wait_max_exact : bool
        Whether `wait_max_ns` was measured. The longest wait of a difference is known only as the
        end of its top histogram bucket (at most 1/64 too high), unless the maximum grew in it.
    in_flight_ns : int
        How long a knock had been waiting at the end of the window, 0 if none was. Of a merge: the
        longest.
    histogram : WaitHistogram
        The waits of all knocks.
    floor_ns : int or None
        The shortest wait of the sampler so far: what asking costs when nobody holds the GIL.
        None before any knock.
    cpu_ns : int
        CPU time of our own threads.
    switch_interval_ns : int or None
        ``sys.getswitchinterval()`` when the snapshot was taken. None in a merge whose parts
        differ, as are the next three.
    interval_ns, knock_interval_ns : int or None
        The mean interval of looks and of knocks within a burst.
    pid : int or None
        The process.
    slice_active : bool
        Whether the watcher got a short time slice, with which it wakes on time even while the
        program keeps its CPU busy (Linux >= 6.12).
    method : {"count", "look", "knock", "trace", "outside"}
        How the held fraction was measured: by counting each hold, by reading the GIL's lock word
        at times, from the waits of knocks where neither is possible, by tracing, or by reading the
        lock word from another process.
    method_reason : str
        Why it was not counted, or not all the time; empty where there is nothing to say.
    counted_ns : int
        How much of `observed_ns` was counted: exact there. The rest was looked at.
    clock : str or None
        By what holds were timed that were counted: ``"tsc"`` or ``"cntvct"``, the CPU's own
        counter, or ``"clock_gettime"``. None where they were not counted.
    gil_enabled : bool or "mixed"
        Whether there was a GIL in the window.
    sampler_id, epoch : int or None
        Which sampler of the process, and how often it had been reset. None in a merge.
    holds : int
        Of a trace (0 else, as are the next ones but `held_ns`): how often the program's threads held the GIL
        and let go of it again.
    held_ns : int
        For how long the program's threads held the GIL in all. What was going on at the end of the
        window counts up to there. Never less than in an earlier snapshot of the same epoch.
    waited_ns, thread_ns : int
        For how long they waited for it and were there, in all, likewise.
    hold_max_ns : int
        The longest hold, also if it was still going on.
    hold_max_exact : bool
        Whether `hold_max_ns` was measured, as `wait_max_exact` says of waits.
    hold_histogram : WaitHistogram
        The holds, by length.

    Notes
    -----
    Of a trace, `knocks`, `histogram`, `percentile`, `exceeds` and all that is called ``wait`` are
    of the program's own threads, each time one found the GIL taken; there are no ticks.

    Examples
    --------
    >>> before = knocker.snapshot()  # doctest: +SKIP
    >>> work()  # doctest: +SKIP
    >>> print(knocker.snapshot() - before)  # doctest: +SKIP
    held 87.3 % (85.7-88.7) over 2.00 s, 1998 ticks (3 late, 0 missed); 200 knocks waited p50 4.9 ms, p99 5.1 ms, max <= 9.8 ms; method look
    """  # noqa: E501 (one line is what it prints)

    __slots__ = (*FIELDS, "__weakref__", "_raw", "_raw_holds")

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
    hold_max_ns: int
    hold_max_exact: bool
    hold_histogram: WaitHistogram
    _holders: _StoredHolders
    _stacks: _StoredStacks
    _looks: tuple[int, int, int] | None  # where looks do not weigh the same, see look_weights()
    _merged: tuple[float, float, float] | None  # the weights of a merge, see weights()
    _raw: RawWaits | None
    _raw_holds: RawWaits | None

    def __init__(self) -> None:
        raise TypeError("a Snapshot is made by KnockKnock.snapshot() or Snapshot.from_dict()")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Snapshot is immutable: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Snapshot is immutable: {name} cannot be deleted")

    def __reduce__(self) -> tuple[object, ...]:
        from gilknocker.snapshot.as_dict import encode

        return _restore, (encode(self), self._raw, self._raw_holds)

    def __copy__(self) -> Snapshot:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Snapshot:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        raws, others = ((s._raw, s._raw_holds) for s in (self, other))
        return self._values() == other._values() and raws == others

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"<Snapshot {self}>"

    def __str__(self) -> str:
        from gilknocker.snapshot.one_line import describe

        return describe(self)

    def __sub__(self, other: Snapshot) -> Snapshot:
        """Return the window between two snapshots of one meter: ``later - earlier``.

        Counts and sums are subtracted, and so are histograms and raw waits. The longest wait is
        exact only if it grew in the window (`wait_max_exact`); `in_flight_ns` and settings are
        those of the later one.

        Raises
        ------
        ValueError
            If they are of different meters, processes or epochs (there was a reset between them),
            or in the wrong order.
        """
        if not isinstance(other, Snapshot):
            return NotImplemented
        from gilknocker.snapshot.algebra import window_fields

        fields = window_fields(self, other)
        return build(
            fields,
            None if self._raw is None else self._raw.newest(fields["knocks"]),
            None if self._raw_holds is None else self._raw_holds.newest(fields["holds"]),
        )

    def __add__(self, other: Snapshot) -> Snapshot:
        """Return two snapshots taken together, of whatever threads, processes or machines.

        Counts, sums and histograms are added; the held fraction is the mean weighted by observed
        time with a GIL; the longest wait is the longer one. Settings that differ become None, and
        so do `sampler_id` and `epoch`: a merge cannot be subtracted.

        Raises
        ------
        ValueError
            If they were measured by different methods, or a sum does not fit in 64 bits.
        """
        if not isinstance(other, Snapshot):
            return NotImplemented
        from gilknocker.snapshot.algebra import merged_fields

        fields = merged_fields(self, other)
        return build(
            fields,
            merged(self._raw, other._raw),
            merged(self._raw_holds, other._raw_holds),
        )

    @classmethod
    def merge(cls, snapshots: Iterable[Snapshot]) -> Snapshot:
        """Take many snapshots together, as ``+`` does two: those of all workers of a cluster.

        As ``sum(snapshots)``, but it is an error if there are none.

        Parameters
        ----------
        snapshots : iterable of Snapshot
            One for each process that is to count: at least one, all by the same method.

        Returns
        -------
        Snapshot
            Of one snapshot, that itself.

        Raises
        ------
        TypeError
            If something among them is no Snapshot.
        ValueError
            If there are none, or their methods differ.
        """
        parts = list(snapshots)
        for part in parts:
            if not isinstance(part, Snapshot):
                raise TypeError(f"snapshots must be Snapshots, not {shown(part)}")
        if not parts:
            raise ValueError("snapshots must have at least one Snapshot, not none")
        while len(parts) > 1:  # neighbours first: each part is added up few times
            pairs = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)]
            parts = pairs + parts[2 * len(pairs) :]
        return parts[0]

    def __radd__(self, other: int) -> Snapshot:
        if type(other) is int and other == 0:  # where sum() starts
            return self
        return NotImplemented

    @property
    def observed_seconds(self) -> float:
        """The time within the window in which the sampler ran, s."""
        return self.observed_ns / 1e9

    @property
    def held_fraction(self) -> float | None:
        """The share of time that a thread that is not ours held the GIL, 0 to 1.

        Counted or traced, it is exact: ``held_ns / observed_ns``. Of looks
        ``ticks_held / (ticks - ticks_disabled)``, each weighted by the time that it stands for if
        they came more densely at first; of a merge of those, the parts' mean weighted by their
        observed time with a GIL. NaN where nothing was counted and no look taken, None if there was
        no GIL in the whole window.
        One busy thread alone reads 1.0: that is not contention, see the waits.
        """
        if self.method == "count":
            # Nothing is known of what was neither counted nor looked at, and it is short.
            known = self.observed_ns if self.ticks else self.counted_ns
            return min(self.held_ns / known, 1.0) if known else NAN
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
        frames is of the looks that could not tell. Empty where stacks were not asked for, by
        ``KnockKnock(stacks=True)``. Equal stacks of threads of one name are one.
        """
        from gilknocker.snapshot.stacks import held_stacks

        return held_stacks(self)

    @property
    def blame(self) -> tuple[Blame, ...]:
        """Who paid: each function, how long it held the GIL, and how long others waited for that.

        The largest wait first: ``function``, ``file``, ``held_seconds``, ``waited_seconds``. Waits
        are those of our knocks, shared out by the looks that saw one wait: their sum is that of
        all knocks' waits. Empty where stacks were not asked for.
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

    def summary(self) -> dict[str, Any]:
        """Return the figures that matter, for JSON: None in the place of NaN.

        Returns
        -------
        dict
            ``"method"``: as the attribute; ``"observed_seconds"``; ``"held_seconds"``,
            ``"held_fraction"`` (0 to 1), ``"held_fraction_interval"`` (``[low, high]``, 95 %);
            ``"knocks"``: how many waits; ``"wait_mean_ns"``, ``"wait_p50_ns"``, ``"wait_p90_ns"``,
            ``"wait_p99_ns"``, ``"wait_max_ns"``: of these, in ns; ``"in_flight_ns"``: how long one
            had been waiting at the end, ns; ``"knock_wait_fraction"`` and ``"wait_fraction"``: as
            the properties. Of a trace also ``"holds"``, a count, and ``"hold_p50_ns"``,
            ``"hold_p90_ns"``, ``"hold_p99_ns"``, ``"hold_max_ns"``. None where nothing is known:
            before the first look, knock or hold.

        Examples
        --------
        >>> from gilknocker import KnockKnock
        >>> KnockKnock().snapshot().summary()["wait_p99_ns"] is None
        True
        """
        from gilknocker.snapshot.as_dict import summary

        return summary(self)

    def to_dict(self, waits: bool = False) -> dict[str, Any]:
        """Return what ``json.dumps`` can store and :meth:`from_dict` reads back.

        Parameters
        ----------
        waits : bool, default False
            Also store the raw waits.

        Returns
        -------
        dict
            The attributes above by name, with ``"format"`` and ``"version"``; histograms as lists
            of ``[lower_ns, upper_ns, count]``; ``"merged"``, for a merge: the held and the
            observed seconds with a GIL and the squares of the parts' observed seconds with a GIL,
            each over its ticks, summed; ``"holders"``: a list of ``{"native_id", "serial",
            "name", "held"}``, in ticks, or ns of a trace; ``"stacks"``: None, or ``{"frames":
            [[function, file, line], ...], "stacks": [{"frames", "thread", "held_ns",
            "waited_ns", "native_ns"}, ...]}``, a stack's frames by number; ``"waits"``:
            ``{"first_sequence", "wait_ns", "knock_ns"}`` or None, and ``"hold_times"`` likewise of
            a trace; and for readers other than :meth:`from_dict` the :meth:`summary`.

        Raises
        ------
        AttributeError
            If raw waits are asked for and the snapshot has none.
        """
        from gilknocker.snapshot.as_dict import encode, encode_raw, summary

        traced = self.method == "trace"
        return {
            **encode(self),
            "waits": encode_raw(self._raw_waits()) if waits else None,
            "hold_times": encode_raw(self._raw_hold_times()) if waits and traced else None,
            "summary": summary(self),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Snapshot:
        """Make a snapshot of what :meth:`to_dict` gave; the ``"summary"`` is not read.

        Raises
        ------
        TypeError
            If `data` is not a dict, or a value has the wrong type.
        ValueError
            If a key is missing or unknown, the version is not known, or a value cannot be.
        """
        from gilknocker.snapshot.as_dict import decode

        return build(*decode(data))

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

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in FIELDS)


def build(
    fields: Mapping[str, Any], raw: RawWaits | None = None, raw_holds: RawWaits | None = None
) -> Snapshot:
    """Make a snapshot of all its fields, unchecked."""
    snapshot = Snapshot.__new__(Snapshot)
    for name in FIELDS:
        _set(snapshot, name, fields[name])
    _set(snapshot, "_raw", raw)
    _set(snapshot, "_raw_holds", raw_holds)
    return snapshot


def _restore(data: dict[str, Any], *raws: RawWaits | None) -> Snapshot:
    """Make a snapshot of what was pickled, after the checks of :meth:`Snapshot.from_dict`."""
    from gilknocker.snapshot.as_dict import decode

    fields, *_ = decode(data)
    for name, raw in zip(("knocks", "holds"), raws, strict=True):
        if raw is not None and not isinstance(raw, RawWaits):
            raise TypeError(f"raw times must be RawWaits or None, not {shown(raw)}")
        if raw is not None and len(raw) > fields[name]:
            raise ValueError(f"{len(raw)} raw times of {fields[name]} {name}")
    return build(fields, *raws)
