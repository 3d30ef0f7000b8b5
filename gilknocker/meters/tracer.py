"""The exact meter: every hold of the GIL and every wait for it, counted as it happens."""

from __future__ import annotations

import os
from sys import getswitchinterval  # now: a program's tests may replace it
from typing import TYPE_CHECKING, Any

from gilknocker import _core
from gilknocker._checks import checked_index
from gilknocker.meters.known_threads import name_by_native_id
from gilknocker.meters.trace_readings import (
    EVENT_BYTES,
    LongHold,
    as_events,
    holders_together,
    stored_waits,
    thread_row,
)
from gilknocker.meters.tracing import NAMES, RUNNING, TRACING, native_ids
from gilknocker.snapshot.fields import FOLDED_NAME
from gilknocker.snapshot.raw_waits import StoredWaits
from gilknocker.snapshot.sources import from_trace
from gilknocker.snapshot.thread_times import ThreadTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import NoReturn, SupportsIndex
    from weakref import ref

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

    from gilknocker._files import Target
    from gilknocker.meters.stacks_beside import StacksBeside
    from gilknocker.meters.totals import Totals
    from gilknocker.snapshot.value import Snapshot

__all__ = ["GilTracer", "GilTracerUnsupported", "LongHold"]

MOST_EVENTS = 2**32
_SPARE = 256  # names that may be kept beyond those that are needed
_MOST_LONG = 4_096  # events of a tracer that keeps the long ones

# What the meter's own threads are called in tables.
_OURS = "(gilknocker)"


def _tried_out() -> str:
    problem = _core.prepare_tracing()
    return f"The GIL cannot be traced here: {problem}." if problem else ""


# Now, for the lock of the import is what lets one thread try and all others wait.
_PROBLEM = _tried_out()


class GilTracerUnsupported(RuntimeError):
    """The GIL cannot be traced here; the message says why."""


class GilTracer:
    """Counts every hold of the GIL and every wait for it, exactly, by thread.

    The interpreter tells its GIL's condition variables of every change. A tracer redirects the
    pointers through which it calls ``pthread_cond_signal``, ``pthread_cond_timedwait`` and
    ``pthread_cond_wait``, while it runs, and takes the time: less than 0.1 µs for each
    release and acquire (docs/performance.md). When the last tracer stops, the pointers are what
    they were.

    Parameters
    ----------
    events : int, default 1_048_576
        How many of the newest holds and waits to keep one by one, 24 bytes each; 0 to 2**32.
    stacks : bool, default False
        Whether to look beside it, by a thread of ours, at the stack of whoever holds the GIL:
        ``snapshot().stacks``, whose times sum up to the exact time held, and ``snapshot().blame``,
        whose waits sum up to the threads' exact waits. That stops nobody.
    interval_micros : int, default 1000
        With `stacks`: mean interval between looks in microseconds, as that of `KnockKnock`.

    Raises
    ------
    GilTracerUnsupported
        Where the GIL cannot be traced, see `supported`.
    StacksUnsupported
        If stacks are asked for and cannot be read here.
    TypeError, ValueError
        If `events` or `interval_micros` is not such a number; if there is an interval, but no
        stacks are asked for.
    MemoryError
        If there is not enough memory for so many.

    See Also
    --------
    KnockKnock : samples the GIL, everywhere, and asks for it as a thread would.

    Notes
    -----
    The main interpreter's GIL is traced, also where sub-interpreters share it; those with a GIL of
    their own are not seen. Up to 4 tracers can run at once. A tracer goes on in the parent of a
    fork; in the child it is one that was never started.

    It has numbers of up to 16,384 threads at a time: the holds of more are counted, as those of a
    holder "(other threads)", their waits are not. Of threads that ended it keeps those 256 apart
    that held the GIL or waited for it longest; all others are one row, "(other ended threads)",
    which says how many they are.

    Like a stopwatch it goes on counting when it is started again, and what was going on at a stop
    counts up to there. A thread that was made to let go of the GIL (a forced release) and asks for
    it again without having done anything else has been waiting since it let go.

    Examples
    --------
    >>> with GilTracer() as tracer:  # doctest: +SKIP
    ...     work()
    >>> for thread in tracer.threads():  # doctest: +SKIP
    ...     print(thread.name, thread.held_ns / 1e9, thread.waited_ns / 1e9)
    parser-0 0.51 0.48
    parser-1 0.49 0.5
    """

    HOLD = 0
    WAIT = 1

    def __init__(
        self,
        events: SupportsIndex = 1_048_576,
        *,
        stacks: bool = False,
        interval_micros: SupportsIndex | None = None,
    ) -> None:
        allowed = f"an integer from 0 to {MOST_EVENTS}"
        size = checked_index("events", events, allowed, least=0, most=MOST_EVENTS)
        if _PROBLEM:
            raise GilTracerUnsupported(_PROBLEM)
        if interval_micros is not None and not stacks:
            raise TypeError("interval_micros needs stacks=True: without stacks nobody looks")
        self._beside = _stacks_beside(interval_micros) if stacks else None
        waiters = None if self._beside is None else self._beside.waiters
        try:
            self._core = _core.Tracer(size, waiters=waiters)
        except MemoryError:
            needed = f"they need {size * EVENT_BYTES / 1e9:.1f} GB"
            raise MemoryError(f"there is no memory for events={size}: {needed}") from None
        self._totals: tuple[ref[Totals], ...] = ()  # who is told before a reset
        self._names: dict[int, str] = {}  # by serial
        self._lost_waits = False  # when it was last read: whether there were too many threads
        self._named_in = 0  # whose serials they are: a forked child has another sampler

    @classmethod
    def _of_long_events(cls, least_ns: int) -> Self:
        """Return one that keeps of events the long ones: few, so that none of them is lost."""
        tracer = cls(events=0)
        tracer._core = _core.Tracer(_MOST_LONG, least_ns)
        return tracer

    @staticmethod
    def supported() -> tuple[bool, str]:
        """Say whether the GIL can be traced here, and if not why, in a sentence.

        It was tried out when this module was imported: that takes some 0.2 ms and one thread.
        """
        return not _PROBLEM, _PROBLEM

    def start(self) -> None:
        """Go on counting; nothing happens if it runs.

        Raises
        ------
        RuntimeError
            If it cannot: somebody else redirects the same pointers by now, or 4 tracers run, or
            the interpreter is exiting.
        """
        with TRACING.lock:
            if TRACING.exited:
                raise RuntimeError("the interpreter is exiting: nothing can be traced any more")
            self._core.start(native_ids())
            try:
                if self._beside is not None:
                    self._beside.start()
            except BaseException:
                self._core.stop()
                raise
            RUNNING.add(self)
            NAMES.listen()

    def stop(self) -> None:
        """Stop counting; nothing happens if it does not run. The numbers stay."""
        with TRACING.lock:
            if self._beside is not None:
                self._beside.stop()
            if self._core.is_running:
                self._keep_names()
                self._core.stop()
            RUNNING.discard(self)
            NAMES.rest()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it counts now."""
        return self._core.is_running

    def reset(self) -> None:
        """Begin all numbers and events anew, running or not."""
        if self._totals:
            from gilknocker.meters.totals import tell

            tell(self._totals)
        self._core.reset()
        if self._beside is not None:
            self._beside.reset()

    def snapshot(self, waits: bool = False) -> Snapshot:
        """Return all numbers since the last reset as one consistent value; its method is "trace".

        Parameters
        ----------
        waits : bool, default False
            Whether to keep the single waits and holds too, as far as they are among the events:
            `Snapshot.wait_times` and `Snapshot.hold_times`.
        """
        reading = self._read(waits)
        raw = self._raw(reading) if waits else None
        every = reading["all"]
        fields = {
            name: reading[name]
            for name in (
                *("sampler_id", "epoch", "pid", "start_ns", "end_ns", "start_unix_ns"),
                *("end_unix_ns", "observed_ns", "in_flight_ns", "wait_total_ns", "wait_max_ns"),
            )
        }
        fields |= {
            "knocks": every["waits"],
            "holds": every["holds"],
            "held_ns": every["held_ns"],
            "waited_ns": every["waited_ns"],
            "thread_ns": every["lifetime_ns"],
            **{name: every[name] for name in ("wanted_releases", "retakes", "passed_over_ns")},
            "hold_max_ns": every["longest_hold_ns"],
            "switch_interval_ns": round(getswitchinterval() * 1e9),
            "clock": _core.count_clock(),
            "_holders": tuple(
                (native_id, serial, self._name(serial, native_id), held_ns)
                for native_id, serial, _, ours, _, _, held_ns in reading["threads"]
                if held_ns and not ours
            )
            + holders_together(reading),
            **self._stacks(reading),
        }
        return from_trace(fields, reading["wait_histogram"], reading["hold_histogram"], raw)

    def threads(self) -> list[ThreadTimes]:
        """Return what each thread did, in the order in which they came.

        The meter's own come last, and before them, in one row without a native id, those that ended
        and are not kept apart. Threads that ended before the last reset are left out.
        """
        reading = self._read(times=True)
        threads = [
            thread_row(times, native_id, serial, self._name(serial, native_id), ours, alive)
            for (native_id, serial, _, ours, alive, _, _), times in zip(
                reading["threads"], reading["times"], strict=True
            )
        ]
        seen = [one for one in threads if one.alive or one.lifetime_ns or one.acquisitions]
        if count := reading["folded_threads"]:
            name = f"{FOLDED_NAME[:-1]}: {count:,})"
            seen.append(thread_row(reading["folded"], 0, _core.FOLDED_SERIAL, name, False, False))
        return sorted(seen, key=lambda thread: thread.ours)

    def this_thread(self) -> tuple[int, int, int] | None:
        """Return what the calling thread did so far, in constant time (some 0.2 µs).

        Two of these, taken by one thread, tell of what it did between them: how long it held the
        GIL, waited for it, and how long others had it.

        Returns
        -------
        (held_ns, waited_ns, held_by_others_ns) : tuple of int, or None
            By this thread since the last reset, up to now; by all other threads of the program.
            None while the tracer does not run, or if it had no room for this thread.
        """
        return self._core.share()

    def threads_array(self) -> npt.NDArray[np.void]:
        """Return what `threads` does as a structured array with a field for each of its names."""
        import numpy as np

        names = {"name": "U64", "ours": "?", "alive": "?"}
        dtype = [(field, names.get(field, "i8")) for field in ThreadTimes._fields]
        return np.array([tuple(thread) for thread in self.threads()], dtype=dtype)

    def events(self) -> npt.NDArray[np.void]:
        """Return the newest holds and waits that have ended, in the order in which they did.

        Returns
        -------
        ndarray
            Structured, shape ``(n,)``: ``start`` and ``end`` (int64, ns of
            ``time.monotonic_ns``), ``thread`` (uint32, `ThreadTimes.serial`; 536,870,911 for all
            threads that found no room, more for the meter's own) and ``kind`` (uint32, `HOLD` or
            `WAIT`). Read-only.

        Notes
        -----
        The GIL is held while they are copied: 10 ms for a million.
        """
        return as_events(self._core.events())

    def _long_holds(self) -> list[LongHold]:
        """Return the holds that are among the events, and the one that goes on: without numpy."""
        reading = self._read(events=True)
        names = {
            serial: self._name(serial, native_id) for native_id, serial, *_ in reading["threads"]
        }
        numbers = memoryview(reading["events"])
        words, halves = numbers.cast("q"), numbers.cast("I")
        holds = [
            LongHold(start, end, names.get(serial, "an unknown thread"))
            for start, end, serial, kind in zip(
                words[::3], words[1::3], halves[4::6], halves[5::6], strict=True
            )
            if kind == self.HOLD and serial < _core.FIRST_OWN_SERIAL
        ]
        return holds + [
            LongHold(holding_since_ns, reading["end_ns"], names[serial])
            for _, serial, _, ours, _, holding_since_ns, _ in reading["threads"]
            if holding_since_ns and not ours
        ]

    def to_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the events as a file for the Perfetto UI (https://ui.perfetto.dev).

        A track for each thread with its holds and waits, and the held fraction as a counter.
        Time 0 is the start of the trace.

        Parameters
        ----------
        path : path-like
            Where to: in the JSON Trace Event Format, gzipped if it ends in ``.gz``. Written whole
            or not at all.

        Raises
        ------
        OSError
            If it cannot be written; a file that was there before is as it was.
        """
        from gilknocker._files import Target

        self._write_chrome_trace(Target(path), lambda fraction: None)

    def _write_chrome_trace(self, target: Target, progress: Callable[[float], object]) -> None:
        from gilknocker.meters.chrome_trace import write

        start_ns = self._core.read(False)["start_ns"]
        write(target, self.events(), self.threads(), start_ns, progress)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a GilTracer cannot be copied or pickled; its snapshot() can")

    def __repr__(self) -> str:
        return f"<GilTracer {self}>"

    def __str__(self) -> str:
        return f"{'running' if self.is_running else 'stopped'}, {self.snapshot()}"

    def _read(self, events: bool = False, times: bool = False) -> dict[str, Any]:
        reading = self._core.read(events, times)
        self._lost_waits = bool(reading["crowd_held_ns"])
        here = name_by_native_id()
        known = self._names
        if self._named_in != reading["sampler_id"]:
            self._named_in = reading["sampler_id"]
            known.clear()
        threads = reading["threads"]
        for native_id, serial, since_ns, _, alive, _, _ in threads:
            name = here.get(native_id) if alive else None
            if name is None and serial not in known:
                name = NAMES.name_of(native_id, since_ns)
            if name is not None:
                known[serial] = name
        if len(known) > 2 * len(threads) + _SPARE:
            kept = {row[1] for row in threads}
            for serial in [*known]:
                if serial not in kept:
                    known.pop(serial, None)
        return reading

    def _keep_names(self) -> None:
        """Find out what the threads are called that it knows: soon nobody may remember."""
        self._read()
        if self._beside is not None:
            self._beside.keep_names()

    def _stacks(self, reading: dict[str, Any]) -> dict[str, Any]:
        if self._beside is None:
            return {}
        # Of two with one number the newer.
        return self._beside.fields(
            {
                native_id: self._name(serial, native_id)
                for native_id, serial, _, ours, _, _, _ in reading["threads"]
                if native_id and not ours
            }
        )

    def _name(self, serial: int, native_id: int) -> str:
        if serial >= _core.FIRST_OWN_SERIAL:
            return _OURS
        return self._names.get(serial) or f"thread {native_id}"

    def _raw(self, reading: dict[str, Any]) -> tuple[StoredWaits, StoredWaits]:
        events = as_events(reading["events"])
        events = events[events["thread"] < _core.FIRST_OWN_SERIAL]
        return tuple(  # type: ignore[return-value]
            stored_waits(events[events["kind"] == kind], reading["all"][counted])
            for kind, counted in ((self.WAIT, "waits"), (self.HOLD, "holds"))
        )


def _stacks_beside(interval_micros: SupportsIndex | None) -> StacksBeside:
    from gilknocker.meters.stacks_beside import StacksBeside

    return StacksBeside(interval_micros)
