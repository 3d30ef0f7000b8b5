"""What was measured up to one instant, as a value: kept, compared, subtracted, merged, stored.

What a program may never do with one is imported by its use: every import is paid for by its start.
"""

from __future__ import annotations

from gilknocker._checks import shown
from gilknocker.snapshot.fields import FIELDS
from gilknocker.snapshot.figures import SnapshotFigures
from gilknocker.snapshot.raw_waits import RawWaits, merged
from gilknocker.snapshot.views import SnapshotViews

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

__all__ = ["Snapshot"]

_set = object.__setattr__


class Snapshot(SnapshotFigures, SnapshotViews):
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
        By what holds were timed that were counted or traced: ``"tsc"`` or ``"cntvct"``, the CPU's
        own counter, or ``"clock_gettime"``. None where they were not.
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
    wanted_releases, retakes : int
        How often a thread of the program let go of the GIL while another one waited; and how often
        of those it was the next to take it again, before the other was awake.
    passed_over_ns : int
        The time of waits, of `waited_ns`, in which the GIL was retaken so.
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
            "waited_ns", "native_ns", "retaken_ns"}, ...]}``, a stack's frames by number;
            ``"waits"``: ``{"first_sequence", "wait_ns", "knock_ns"}`` or None, and
            ``"hold_times"`` likewise of a trace; and for readers other than :meth:`from_dict` the
            :meth:`summary`.

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
