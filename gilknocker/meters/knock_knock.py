"""KnockKnock: how busy the GIL is, and how long a thread waits for it.

Annotations are in quotes where they are not plain: `from __future__` imports a module, which the
first KnockKnock() has no use for.
"""

from gilknocker import _core
from gilknocker.meters.arguments import (
    DEFAULT_MAX_OVERHEAD,
    checked_method,
    checked_overhead,
    settle,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType, TracebackType
    from typing import Any, Literal, NoReturn, SupportsIndex
    from weakref import ref

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Buffer, Self

    from gilknocker.meters.lifecycle import Lifecycle
    from gilknocker.meters.totals import Totals
    from gilknocker.snapshot.holders import Holder
    from gilknocker.snapshot.value import Snapshot

__all__ = ["KnockKnock", "StacksUnsupported", "need_stacks"]


# Both from the first start on, and kept here: an interpreter that ends imports nothing any more.
PROCESS: "Lifecycle | None" = None
READINGS: "ModuleType | None" = None


class StacksUnsupported(RuntimeError):
    """Stacks cannot be read in this Python, or on this system; the message says why."""


class KnockKnock:
    """Measures how busy the GIL is and how long a thread waits for it.

    Every hold of the GIL is counted as it ends, where that is possible (see `method`): the share
    of the time that threads of the program held it is the held fraction, `contention_metric`.
    Elsewhere a thread of ours looks at the GIL at every *tick*, without touching it, and it is the
    share of looks that find it held. Another thread *knocks*: it acquires the GIL, which takes as
    long as it would take a thread of the program, and keeps every such wait.

    The held fraction is how much of the time the GIL was in use. A single busy thread reads 1.0:
    that is not contention, nobody else may want it. `wait_times` says what another thread would
    have waited: 5 ms again and again (``sys.getswitchinterval()``) where a thread in pure Python
    must be interrupted, microseconds where the GIL is often released, more than that where a C
    extension keeps it. `snapshot().holders` says which threads held it.

    Parameters
    ----------
    interval_micros : int, default 1000
        Mean interval between looks in microseconds, where holds are not counted, and of those for
        `stacks`; each comes at a random instant of its turn, so that no periodic program can
        hide. 1000 gives a fraction to within 0.03 in one second at 2 to 3 % of one core of a
        virtual machine; 5000 to 10000 is for meters that are always on. Below 50 most looks are
        missed, because waking a thread takes 10 to 60 µs: allowed, and
        ``snapshot().ticks_missed`` counts them. In the schedule of 0.4 (below) the default is the
        polling interval, but at least 5000. Looks then begin as densely as was asked for, though
        not much below 100 apart: eight at that distance, eight at twice that, and so on, after
        each start and reset. Each counts by the time that it stands for.
    timeout_secs : float, default 1
        How long `stop` waits at most for a knock that does not get the GIL; 0 does not wait.
    knock_interval_micros : int, default 10 * interval_micros
        Mean interval between knocks in microseconds. Each is a handover to our thread and back:
        denser knocks disturb the program, and the held fraction with it. Where the GIL cannot be
        looked at (``snapshot().method == "knock"``) knocks come at `interval_micros` instead.
    polling_interval_micros : int, default 1000
        As in gilknocker 0.4: the interval between knocks, which then come in bursts of
        `sampling_interval_micros` (default 10 times as long). What 0.4 does after each
        `sleeping_interval_micros` (default 100 times as long) is, by turns, to see that a burst
        is over and to begin one: so there is one in two of those. Any of the three asks for this
        schedule; looks come evenly all the time. Not with `knock_interval_micros`.
    sampling_interval_micros, sleeping_interval_micros : int
        See `polling_interval_micros`.
    timeout_micros : int
        As in gilknocker 0.4: `timeout_secs` in microseconds. Not both.
    stacks : bool, default False
        Whether each look that finds the GIL held reads the holder's stack too:
        ``snapshot().stacks``. That stops nobody, and takes the watcher a few microseconds.
    method : {"auto", "count", "look", "knock"}, default "auto"
        Where the held fraction comes from. "count": every hold of the GIL, exactly, in windows of
        any length and without waking up for it; the interpreter's calls of ``pthread_cond_signal``
        are redirected for that while it runs, as by a :class:`GilTracer`, where that is supported.
        "look": looks. "knock": the waits of knocks, as where neither is possible. "auto": "count"
        where that is possible, else "look", else "knock", without an error; `method` and
        `method_reason` say which, and why.
    max_overhead : float, default 0.01
        The share of time that counting may cost, 0 to 1. Each time that the GIL is taken and let
        go it costs some 20 to 60 ns, by what reading the clock takes on this machine: a program
        that does so too often for that is looked at instead, and counted again for a moment after
        1 s, 2 s and so on up to 64 s. ``snapshot().counted_ns`` says how much was counted.

    Raises
    ------
    StacksUnsupported
        If stacks are asked for and cannot be read here: a free-threaded or unknown Python, or a
        system that forbids to read its own memory through the kernel. It is a RuntimeError.
    TypeError
        If an argument has the wrong type (numpy's integers are fine, bool and float intervals are
        not), or one thing is given in two spellings.
    ValueError
        If an interval is not > 0, a timeout negative or not finite, or something does not fit in
        64-bit ns; if there is no such method, or `max_overhead` is not from 0 to 1.
    RuntimeError
        If the method that is asked for is not possible here; the message says why.

    See Also
    --------
    Snapshot : all the numbers at one instant.

    Notes
    -----
    Any thread may call anything at any time. An instance that is dropped, or left running at
    exit, is stopped. It goes on in the parent of a fork, and in the child is one that was never
    started.

    Examples
    --------
    >>> with KnockKnock() as knocker:  # doctest: +SKIP
    ...     work()
    >>> knocker.contention_metric  # doctest: +SKIP
    0.873
    >>> np.percentile(knocker.wait_times, [50, 99]) / 1e6  # ms  # doctest: +SKIP
    array([4.9, 5.1])
    """

    def __init__(
        self,
        interval_micros: "SupportsIndex | None" = None,
        timeout_secs: "float | None" = None,
        *,
        knock_interval_micros: "SupportsIndex | None" = None,
        polling_interval_micros: "SupportsIndex | None" = None,
        sampling_interval_micros: "SupportsIndex | None" = None,
        sleeping_interval_micros: "SupportsIndex | None" = None,
        timeout_micros: "SupportsIndex | None" = None,
        stacks: bool = False,
        method: 'Literal["auto", "count", "look", "knock"]' = "auto",
        max_overhead: float = DEFAULT_MAX_OVERHEAD,
    ) -> None:
        if stacks:
            need_stacks()
        settings = settle(
            interval_micros=interval_micros,
            timeout_secs=timeout_secs,
            knock_interval_micros=knock_interval_micros,
            polling_interval_micros=polling_interval_micros,
            sampling_interval_micros=sampling_interval_micros,
            sleeping_interval_micros=sleeping_interval_micros,
            timeout_micros=timeout_micros,
        )
        self._settings = settings
        self._totals: tuple[ref[Totals], ...] = ()  # who is told before a reset
        self._names: dict[tuple[int, int, int], str] = {}  # of holders, by serial and ident
        self._sampler = _core.Sampler(
            settings.interval_ns,
            settings.knock_interval_ns,
            knocks_per_burst=settings.knocks_per_burst,
            burst_rest_ns=settings.burst_rest_ns,
            late_after_ns=settings.late_after_ns,
            contended_after_ns=settings.contended_after_ns,
            log_capacity=settings.log_capacity,
            # Each look at a stack counts alike.
            dense_start=0 if stacks else settings.dense_start,
            stacks=bool(stacks),
            **_how(checked_method(method), checked_overhead(max_overhead)),
        )
        self._stacks = bool(stacks)

    def start(self) -> None:
        """Start measuring, or go on after `stop`, like a stopwatch. Nothing if it runs.

        Raises
        ------
        RuntimeError
            If no thread can be started, or the interpreter is exiting.
        """
        _process().start(self._sampler, prepare=_readings)

    def stop(self) -> None:
        """Stop measuring; the numbers stay. Nothing if it does not run.

        Warns
        -----
        RuntimeWarning
            If a knock was still waiting for the GIL at the timeout. It has stopped nevertheless:
            that knock is left out, and its thread ends by itself as soon as it gets the GIL.
        """
        self._stop(stacklevel=3)

    def _stop(self, stacklevel: int) -> None:
        if PROCESS is not None and not PROCESS.stop(self._sampler, self._settings.timeout_ns):
            import warnings  # here, for it takes its time to import

            from gilknocker._units import format_ns

            warnings.warn(
                f"a knock was still waiting for the GIL {format_ns(self._settings.timeout_ns)} "
                "after stop(): its thread will end by itself, later",
                RuntimeWarning,
                stacklevel=stacklevel,
            )

    def __enter__(self) -> "Self":
        self.start()
        return self

    def __exit__(
        self,
        exc_type: "type[BaseException] | None",
        exc: "BaseException | None",
        traceback: "TracebackType | None",
    ) -> None:
        self._stop(stacklevel=3)

    @property
    def is_running(self) -> bool:
        """Whether it measures. Not in a forked child, until it is started there."""
        return PROCESS is not None and PROCESS.is_running(self._sampler)

    @property
    def contention_metric(self) -> float:
        """The held fraction since the last reset: 0.0 to 1.0, 0.0 where nothing was measured yet.

        The share of the time that a thread of the program held the GIL, or of the looks that found
        it held. A float in any case; ``str()`` and `Snapshot.held_fraction` tell an idle GIL from
        no GIL and from nothing measured.
        """
        return self._sampler.held_fraction()

    def reset_contention_metric(self) -> None:
        """Start all numbers and logs again, running or not."""
        if self._totals:
            from gilknocker.meters.totals import tell

            tell(self._totals)
        self._sampler.reset()
        self._names.clear()

    @property
    def wait_times(self) -> "npt.NDArray[np.int64]":
        """How long each knock since the last reset waited, in ns, oldest first.

        A read-only int64 array of shape ``(n,)`` that never changes; the newest 1,048,576 knocks
        at most. While it runs the next call may give more: take both arrays of one
        ``snapshot(waits=True)`` where they must match.
        """
        return _as_int64(self._sampler.waits().waits())

    @property
    def knock_times(self) -> "npt.NDArray[np.int64]":
        """When each of `wait_times` was asked for, in ns on the clock of ``time.monotonic_ns``."""
        return _as_int64(self._sampler.waits().times())

    def snapshot(self, waits: bool = False) -> "Snapshot":
        """Return all numbers since the last reset as one consistent value.

        Parameters
        ----------
        waits : bool, default False
            Whether to keep the single waits too, as `Snapshot.wait_times`. They stay in memory
            as long as the snapshot.
        """
        return _readings().snapshot_of(  # type: ignore[no-any-return]
            self._sampler,
            self._settings,
            self._names,
            waits=bool(waits),
            stacks=self._stacks,
        )

    def holders(self) -> "tuple[Holder, ...]":
        """Return who held the GIL since the last reset, by share of the time that it was held.

        Counted, it is exact; of looks it is a sample. The same as ``snapshot().holders``.

        Returns
        -------
        tuple of Holder
            ``(name, native_id, share)``, largest share first; empty where looks are not possible.
            A name is found by the first knock after a thread was seen, or when one asks: of a
            thread that was gone by then it is ``"thread N"``. Holders beyond the first 256 since
            the reset are together, as ``"other threads"``.
        """
        return self.snapshot().holders

    @property
    def method(self) -> 'Literal["count", "look", "knock"]':
        """How the held fraction is measured, or would be if it ran: see `Snapshot.method`."""
        return self._sampler.method

    @property
    def method_reason(self) -> str:
        """Why it is not counted, in a sentence; empty if it is, or was not asked for."""
        return _readings().not_counted(self._sampler)  # type: ignore[no-any-return]

    @property
    def interval_micros(self) -> int:
        """Mean interval between looks, in microseconds."""
        return self._settings.interval_ns // 1_000

    @property
    def knock_interval_micros(self) -> int:
        """Mean interval between knocks, within a burst, in microseconds."""
        return self._settings.knock_interval_ns // 1_000

    @property
    def timeout_secs(self) -> float:
        """How long `stop` waits at most for a stuck knock, in seconds."""
        return self._settings.timeout_ns / 1e9

    def __reduce__(self) -> "NoReturn":
        raise TypeError("a KnockKnock cannot be copied or pickled; its snapshot() can")

    def __repr__(self) -> str:
        return f"<KnockKnock {self}>"

    def __str__(self) -> str:
        from gilknocker._units import format_ns, format_percent

        settings = self._settings
        knocks = f"knocks every {format_ns(settings.knock_interval_ns)}"
        if settings.knocks_per_burst:
            knocks += (
                f" in bursts of {settings.knocks_per_burst}, "
                f"{format_ns(settings.burst_rest_ns)} apart"
            )
        fraction = self.snapshot().held_fraction
        if fraction is None:
            held = "no GIL"
        elif fraction != fraction:  # NaN
            held = "no look yet"
        else:
            held = f"held {format_percent(fraction)} %"
        how = (
            "counts" if self.method == "count" else f"looks every {format_ns(settings.interval_ns)}"
        )
        return f"{'running' if self.is_running else 'stopped'}, {held}; {how}, {knocks}"


def need_stacks() -> None:
    """Raise StacksUnsupported where stacks cannot be read."""
    # Now: a snapshot's first import could meet a fork, and leave the child without its lock.
    from gilknocker.snapshot import stacks  # noqa: F401

    problem = _core.stack_problem()
    if problem is not None:
        raise StacksUnsupported(f"stacks cannot be read here: {problem}")


def _how(method: str, max_overhead: float) -> "dict[str, Any]":
    """Return what the core is to be told of the method, where that differs from its defaults."""
    if method == "knock":
        return {"look": False}
    how = {} if method == "look" else {"count": True, "budget": max_overhead}
    if method == "count" and (problem := _core.count_problem()):
        raise RuntimeError(f"method='count' is not possible here: {problem}")
    if method == "look" and (problem := _core.look_problem()):
        raise RuntimeError(f"method='look' is not possible here: {problem}")
    return how


def _process() -> "Lifecycle":
    """Return what starts and stops: loaded by the first start, for nothing needs it before."""
    global PROCESS
    if PROCESS is None:
        from gilknocker.meters import lifecycle

        PROCESS = lifecycle.PROCESS
    return PROCESS


def _readings() -> "ModuleType":
    """Return what makes snapshots.

    A start loads it, where no fork can meet that (see `Lifecycle.start`): a child that was forked
    while another thread has the lock of an import would wait for that for ever.
    """
    global READINGS
    if READINGS is None:
        from gilknocker.meters import knock_readings

        READINGS = knock_readings
    return READINGS


def _as_int64(values: "Buffer") -> "npt.NDArray[np.int64]":
    from gilknocker.snapshot.raw_waits import as_int64

    return as_int64(values)
