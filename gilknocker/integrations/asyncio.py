"""How late an event loop runs its callbacks, and whose fault that is: :class:`LoopWatch`.

For asyncio and uvloop. A callback that ticks now and then is late because the loop's own callbacks
took so long, because another thread held the GIL, or because the machine did not run the process.

>>> from gilknocker.integrations.asyncio import LoopWatch
>>> async def main():
...     with LoopWatch() as watch:
...         await serve()
...     print(watch)  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from gilknocker._units import format_ns
from gilknocker.integrations.always_on import positive
from gilknocker.integrations.loop_frames import Look, Looks
from gilknocker.meters.tracer import GilTracer

if TYPE_CHECKING:
    from types import CodeType, TracebackType
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

    from gilknocker.snapshot.thread_times import ThreadTimes

__all__ = ["Late", "LoopWatch"]

_EVENTS = 1 << 16  # of the tracer: enough for what happens in a late tick
_KEPT = 1_000
_NAMED = 0.1  # of the lateness: a cause of less than this is not named
_NEVER = 2**62


class Late(NamedTuple):
    """A tick that came late, and why. The parts add up to `seconds`."""

    at_ns: int
    """When it ran, ns of ``time.monotonic_ns``."""
    seconds: float
    """How late."""
    own_seconds: float
    """Of these, the loop's own callbacks held the GIL, or blocked the loop without it."""
    gil_seconds: float
    """The loop's thread waited for the GIL, which another thread held."""
    machine_seconds: float
    """The rest: nothing hindered it but that it was not run, or woken late."""
    callback: str | None
    """What the loop was in: the callback and the line, as far as seen."""
    holder: str | None
    """The thread that held the GIL for longest meanwhile, and its line, as far as seen."""


class _Noted(NamedTuple):
    """What a thread has had by an instant, all in ns."""

    at: int
    held: int  # of the GIL
    waited: int  # for it
    ran: int  # on a CPU

    def __sub__(self, earlier: _Noted) -> _Noted:
        """Return what it had in between, and how long that was."""
        return _Noted(*(now - before for now, before in zip(self, earlier, strict=True)))


class LoopWatch:
    """Watches the running event loop, from `start` to `stop`.

    A callback of ours is due each `interval_seconds`, and one that comes more than
    `threshold_seconds` late is explained: by the exact holds and waits of a :class:`GilTracer`, and
    by where the threads were, which a thread of ours looks at while the tick is late.

    Parameters
    ----------
    interval_seconds : float, default 0.05
        Between two ticks: more than 0.
    threshold_seconds : float, default 0.01
        From when on a tick is late: more than 0.

    Raises
    ------
    GilTracerUnsupported
        Where the GIL cannot be traced.
    TypeError, ValueError
        If an argument is something else.

    Attributes
    ----------
    ticks : int
        How many came.
    late : deque of Late
        The newest 1,000 that were late.
    totals : dict of str to float
        Of all late ones: how many (``"late"``), and the sums of ``"seconds"``, ``"own_seconds"``,
        ``"gil_seconds"`` and ``"machine_seconds"``.

    Notes
    -----
    The line of C code that keeps the GIL is seen when it lets go, and is that of its call. With the
    defaults this costs the loop 20 callbacks a second, and a tracer (see docs/asyncio.md).
    """

    def __init__(self, *, interval_seconds: float = 0.05, threshold_seconds: float = 0.01) -> None:
        self._interval_ns = round(positive("interval_seconds", interval_seconds) * 1e9)
        self._threshold_ns = round(positive("threshold_seconds", threshold_seconds) * 1e9)
        self._tracer = GilTracer(_EVENTS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ticks = 0
        self.late: deque[Late] = deque(maxlen=_KEPT)
        self.totals = dict.fromkeys(
            ("late", "seconds", "own_seconds", "gil_seconds", "machine_seconds"), 0.0
        )

    def start(self) -> None:
        """Watch the loop that runs in this thread. Nothing if it watches one that is not closed.

        Raises
        ------
        RuntimeError
            If no loop runs here, or no tracer or thread can be started: nothing is watched then.
        """
        loop = asyncio.get_running_loop()
        if self._loop is not None:
            if not self._loop.is_closed():
                return
            self.stop()
        self._ident, self._native_id = threading.get_ident(), threading.get_native_id()
        self._ended = threading.Event()
        # Written by the looking thread, read and replaced by the tick, whole objects both: under
        # the GIL no lock is needed, and one would be one more thing to wait for.
        self._looks = Looks()
        self._due_ns = _NEVER
        looking = threading.Thread(target=self._look, args=(loop,), name="LoopWatch", daemon=True)
        self._tracer.start()
        try:
            self._tracer.events()  # imports numpy: not within a tick
            looking.start()  # before the first tick is due: it waits for the thread
        except BaseException:
            self._ended.set()
            self._tracer.stop()
            raise
        self._loop, self._looking = loop, looking  # all that can fail has succeeded
        self._noted = self._what_it_had()
        self._schedule(time.monotonic_ns() + self._interval_ns)

    def stop(self) -> None:
        """Watch no longer. In the loop's thread, unless it is closed. Nothing if it does not."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        if not loop.is_closed():
            self._handle.cancel()
        self._ended.set()
        self._looking.join()
        self._tracer.stop()

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

    def __str__(self) -> str:
        totals = self.totals
        if not totals["late"]:
            return f"{self.ticks} ticks, none late"
        parts = [
            f"{_format(totals[f'{name}_seconds'])} {text}"
            for name, text in (
                ("own", "in its own callbacks"),
                ("gil", "waiting for the GIL"),
                ("machine", "not run by the machine"),
            )
        ]
        lines = [
            f"{self.ticks} ticks, {totals['late']:.0f} late by "
            f"{_format(totals['seconds'])} in all: {', '.join(parts)}"
        ]
        for what, name in (("callback", "own_seconds"), ("holder", "gil_seconds")):
            cost: Counter[str] = Counter()
            for one in self.late:
                if (culprit := getattr(one, what)) is not None:
                    cost[culprit] += round(getattr(one, name) * 1e9)
            lines += [
                f"  {format_ns(ns)} {'in' if what == 'callback' else 'held by'} {culprit}"
                for culprit, ns in cost.most_common(3)
                if ns
            ]
        return "\n".join(lines)

    # ---- in the loop -------------------------------------------------------------------------

    def _schedule(self, due_ns: int) -> None:
        self._due_ns = due_ns
        assert self._loop is not None
        delay = max(due_ns - time.monotonic_ns(), 0) / 1e9
        self._handle = self._loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        now = self._what_it_had()
        due, self._due_ns = self._due_ns, _NEVER  # nobody is to look at this
        looks, self._looks = self._looks, Looks()
        if self._loop is None:
            return
        self.ticks += 1
        if now.at - due > self._threshold_ns:
            frame = sys._getframe().f_back  # it is what calls all callbacks
            caller = None if frame is None else frame.f_code
            self._explain(due, now, looks, caller)
        self._noted = self._what_it_had()
        self._schedule(max(due + self._interval_ns, time.monotonic_ns()))

    def _what_it_had(self) -> _Noted:
        """Note what the calling thread has had."""
        share = self._tracer.this_thread()
        held, waited = (0, 0) if share is None else share[:2]
        return _Noted(time.monotonic_ns(), held, waited, time.thread_time_ns())

    def _explain(self, due: int, noted: _Noted, seen: Looks, caller: CodeType | None) -> None:
        now, had, looks = noted.at, noted - self._noted, list(seen.kept)
        late_by = now - due
        events, threads = self._tracer.events(), self._tracer.threads()
        serials = {one.serial for one in threads if one.native_id == self._native_id}
        ours = _among(events["thread"], serials)
        holds = events["kind"] == GilTracer.HOLD
        waits = events[ours & ~holds]
        lookers = {one.serial for one in threads if one.native_id == self._looking.native_id}
        gil, holders = _waited_for(events[~ours & holds], waits, due, now, lookers)
        if len(events) == _EVENTS and events["start"][0] > due:  # the sum knows of older waits
            gil = min(had.waited, late_by)
        # The hold that goes on, in which this runs, is in no event yet.
        going_on = max(had.held - _covered(events[ours & holds], self._noted.at, now), 0)
        own = min(_covered(events[ours & holds], due, now) + going_on, late_by - gil)
        rest = late_by - gil - own
        callbacks = [look.callback(caller, LoopWatch._tick.__code__) for look in looks]
        # What the loop holds between callbacks is short, unless its thread is not run.
        stopped = min(own, max(had.held - had.ran, 0))
        if _in_a_callback(callbacks):  # which had let go of the GIL, since it was first seen there
            stopped = min(rest + stopped, seen.unseen_ns) - rest
        own, rest = own - stopped, rest + stopped
        callback = _most(callbacks)
        holder = self._holder(holders, threads, looks)
        late = Late(
            now,
            late_by / 1e9,
            own / 1e9,
            gil / 1e9,
            rest / 1e9,
            callback if own >= _NAMED * late_by else None,
            holder if gil >= _NAMED * late_by else None,
        )
        self.late.append(late)
        self.totals["late"] += 1
        for name in ("seconds", "own_seconds", "gil_seconds", "machine_seconds"):
            self.totals[name] += getattr(late, name)

    def _holder(
        self, held: Counter[int], threads: list[ThreadTimes], looks: list[Look]
    ) -> str | None:
        if not held:
            return None
        serial, _ = held.most_common(1)[0]
        thread = next((one for one in threads if one.serial == serial), None)
        if thread is None:
            return None
        idents = {one.native_id: one.ident for one in threading.enumerate()}
        ident = idents.get(thread.native_id)
        line = None if ident is None else _most([look.lines.get(ident) for look in looks])
        return thread.name if line is None else f"{thread.name}, {line}"

    # ---- beside it ---------------------------------------------------------------------------

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look where the threads are, again and again, while a tick is late.

        No tick comes to a loop that is closed, which nobody tells us: then all of it ends.
        """
        threshold = self._threshold_ns
        while not loop.is_closed():
            before = self._what_it_had()
            late_by = before.at - self._due_ns
            pause = min(max(threshold - late_by, threshold // 2), self._interval_ns)
            if self._ended.wait(pause / 1e9):
                return
            noted, due = self._what_it_had(), self._due_ns
            if noted.at - due > threshold:
                # Not what it waited for the GIL: then another thread ran, the loop's perhaps.
                late = noted.at - max(before.at + pause, due) - (noted - before).waited
                self._looks.add(self._ident, max(late, 0))
        self._tracer.stop()


def _in_a_callback(seen: list[str | None]) -> bool:
    """Whether the loop was seen in a callback more often than not."""
    return 2 * sum(callback is not None for callback in seen) > len(seen)


def _among(serials: npt.NDArray[Any], wanted: set[int]) -> npt.NDArray[np.bool_]:
    """Return which of `serials` are wanted, of which there are few."""
    found: npt.NDArray[np.bool_] = serials == -1
    for serial in wanted:
        found = found | (serials == serial)
    return found


def _covered(events: npt.NDArray[np.void], start: int, end: int) -> int:
    """Return how much of the time from `start` to `end` the intervals cover, in ns."""
    cut = events["end"].clip(start, end) - events["start"].clip(start, end)
    return int(cut.sum())


def _waited_for(
    holds: Any, waits: Any, due: int, now: int, lookers: set[int]
) -> tuple[int, Counter[int]]:
    """Return how much of `waits` between `due` and `now` is others' fault, and who held the GIL.

    In ns, all and by thread. Not looks of ours: they hold it for some 10 µs, and whoever waits for
    one longer than that waits for the machine.
    """
    gil, holders = 0, Counter[int]()
    # As lists of numbers, for there may be many; those of the holds ascend: one has it at a time.
    starts, ends, threads = (holds[name].tolist() for name in ("start", "end", "thread"))
    for begun, ended in zip(waits["start"].tolist(), waits["end"].tolist(), strict=True):
        start, end = max(begun, due), min(ended, now)
        if end <= start:
            continue
        others = looked = 0
        for i in range(bisect_right(ends, start), bisect_left(starts, end)):
            part = min(ends[i], end) - max(starts[i], start)
            if threads[i] in lookers:
                looked += part
            else:
                others += part
                holders[threads[i]] += part
        # To hand it over takes time as well, but no longer than the holds do: who then still
        # waits for what is free is not run.
        gil += min(end - start - looked, 2 * others)
    return gil, holders


def _most(values: list[str | None]) -> str | None:
    seen = Counter(value for value in values if value is not None)
    return seen.most_common(1)[0][0] if seen else None


def _format(seconds: float) -> str:
    return format_ns(round(seconds * 1e9), 3)
