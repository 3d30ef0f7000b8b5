"""What runs while the body of a test does, and what it says afterwards."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from select import select

from gilknocker.snapshot.fields import effective_ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker import GilTracer, KnockKnock, Snapshot

__all__ = ["Meter", "Reading"]

_BREAK_SECONDS = 0.0001
_BREAKS = 20
_LEAST_INSTANTS = 10
# Python code lets a knock wait for 5 ms: half of the least limit that does not warn.
_MOST_OF = 0.7


@dataclass(frozen=True)
class Reading:
    """What was measured of one body: by a sampler, by a tracer, or by both.

    Attributes
    ----------
    times : Snapshot
        How long the GIL was held: the tracer's if there was one.
    waits : Snapshot
        What was waited for it: the sampler's if there was one, for knocks say what a thread would
        have waited; a tracer tells what threads did wait.
    knocks : Snapshot or None
        The sampler's, also where its waits are not reported; None if nobody of ours asked.
    """

    times: Snapshot
    waits: Snapshot
    knocks: Snapshot | None

    @property
    def is_traced(self) -> bool:
        """Whether times and holds are exact."""
        return self.times.method == "trace"

    @property
    def method(self) -> str:
        """What measured: "look" or "knock", "trace", or both: "trace+look"."""
        if self.times is self.waits:
            return self.times.method
        return f"{self.times.method}+{self.waits.method}"

    @property
    def looks(self) -> float:
        """How many looks the held fraction is worth; infinitely many if it is exact."""
        return float("inf") if self.is_traced else effective_ticks(self.times)

    @property
    def longest_wait_ns(self) -> int:
        """The longest wait, also one that had not ended."""
        return _longest_wait_ns(self.waits)

    @property
    def longest_hold_ns(self) -> int:
        """The longest hold; without a tracer the longest that a knock met, from when it did."""
        return self.times.hold_max_ns if self.is_traced else self.longest_wait_ns

    @property
    def untimely(self) -> float:
        """The share of looks that came late or not at all: how busy the machine was; 0 to 1.

        Of few looks 0.
        """
        if self.knocks is None:
            return 0.0
        instants = self.knocks.ticks + self.knocks.ticks_missed
        late = self.knocks.ticks_late + self.knocks.ticks_missed
        return late / instants if instants >= _LEAST_INSTANTS else 0.0

    def is_kept_from_us(self, ns: int) -> bool:
        """Whether the GIL was held for longer than `ns` although we asked for it.

        Code that nobody asks holds on to it, however willing it would be to give it up; and knocks
        may come late on a busy machine. So a traced hold counts where a knock waited for most of
        that time: enough of them are asked in time to meet any that is longer by a fifth.
        """
        if self.longest_hold_ns <= ns:
            return False
        if not self.is_traced or self.knocks is None:
            return True
        return _longest_wait_ns(self.knocks) > _MOST_OF * ns


class Meter:
    """A sampler, a tracer, or both; kept running over many tests.

    Not for use by several threads.

    Parameters
    ----------
    method : {"auto", "knock", "trace"}
        A sampler, a tracer, or both where there can be a tracer.
    interval_micros, knock_interval_micros : int
        The mean intervals of looks and of knocks.
    asks : bool
        Whether to ask for the GIL under ``trace``, too; see `Plan`.

    Raises
    ------
    GilTracerUnsupported
        If the method is ``trace`` where there can be none.
    """

    def __init__(
        self, method: str, interval_micros: int, knock_interval_micros: int, *, asks: bool
    ) -> None:
        from gilknocker import GilTracer, KnockKnock

        traces = method == "trace" or (method == "auto" and GilTracer.supported()[0])
        self._tracer: GilTracer | None = GilTracer(events=0) if traces else None
        # Under trace alone it only asks: its waits are not reported.
        self._reads_knocks = method != "trace"
        self._knocker: KnockKnock | None = None
        if self._reads_knocks or asks:
            self._knocker = KnockKnock(interval_micros, knock_interval_micros=knock_interval_micros)

    def begin(self) -> None:
        """Forget all before this instant; start if that was not done yet, or not in this process.

        A hold and a knock that are under way end here: what came before the body is not its.
        """
        for part in (self._knocker, self._tracer):
            if part is not None and not part.is_running:
                part.start()
        _let_go()
        self._read_knocks()
        if self._knocker is not None:
            self._knocker.reset_contention_metric()
        if self._tracer is not None:
            self._tracer.reset()

    def end(self) -> Reading:
        """Return what was measured since the last `begin`."""
        sampled = self._read_knocks()
        traced = None if self._tracer is None else self._tracer.snapshot()
        known = [s for s in (traced, sampled if self._reads_knocks else None) if s is not None]
        return Reading(known[0], known[-1], sampled)

    def stop(self) -> None:
        """End its threads."""
        for part in (self._knocker, self._tracer):
            if part is not None:
                part.stop()

    def _read_knocks(self) -> Snapshot | None:
        """Read the sampler when no knock is under way; if others keep the GIL from it, anyway.

        One that asked while a body, or what came before it, held the GIL was answered at once when
        that let go; but to say so it has to get to run.
        """
        if self._knocker is None:
            return None
        snapshot = self._knocker.snapshot()
        for _ in range(_BREAKS):
            if not snapshot.in_flight_ns:
                break
            time.sleep(_BREAK_SECONDS)
            snapshot = self._knocker.snapshot()
        return snapshot


def _longest_wait_ns(snapshot: Snapshot) -> int:
    return max(snapshot.wait_max_ns, snapshot.in_flight_ns)


def _let_go() -> None:
    """Release the GIL and take it back at once; ``time.sleep(0)`` would take 50 µs on Linux."""
    if sys.platform == "win32":  # whose select() is for sockets, and wants one
        time.sleep(0)
    else:
        select((), (), (), 0)
