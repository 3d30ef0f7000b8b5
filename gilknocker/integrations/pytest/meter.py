"""What runs while the body of a test does, and what it says afterwards.

Between `begin` and `end` nothing is called that the test may have replaced, and the GIL is not let
go of: beside busy threads it would not be had back for long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from gilknocker.integrations.pytest.waits import Waits
from gilknocker.reports.reasons import kept_by_one
from gilknocker.snapshot.fields import effective_ticks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from gilknocker import GilTracer, KnockKnock, Snapshot
    from gilknocker.meters.stall_watch import StallWatch
    from gilknocker.meters.stalls import Stall
    from gilknocker.meters.tracer import LongHold

__all__ = ["Meter", "Reading"]

_LEAST_INSTANTS = 10
# Python code lets a knock wait for 5 ms: half of the least limit that does not warn.
_MOST_OF = 0.7


@dataclass(frozen=True)
class Reading:
    """What was measured of one body: by a sampler, by a tracer, or by both.

    Attributes
    ----------
    times : Snapshot
        How long the GIL was held: the tracer's if times are traced.
    waits : Snapshot
        What was waited for it: the sampler's if there was one, for knocks say what a thread would
        have waited; a tracer tells what threads did wait.
    knocks : Snapshot or None
        The sampler's, also where its waits are not reported; None if nobody of ours asked.
    traced : Snapshot or None
        The tracer's, also where only holds are traced; None if there was none.
    long_holds : tuple of LongHold
        Those that were long enough to matter, also the one that goes on.
    has_lost_waits : bool
        Whether there were more threads than a tracer has room for: their waits it does not know.
    stalls : tuple of Stall
        Those in which holds were long enough to matter, with their lines: where these can be told.
    """

    times: Snapshot
    waits: Snapshot
    knocks: Snapshot | None
    traced: Snapshot | None = None
    long_holds: tuple[LongHold, ...] = ()
    has_lost_waits: bool = False
    stalls: tuple[Stall, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether times are exact, and not a sample."""
        return self.times.method not in ("look", "knock")

    @property
    def method(self) -> str:
        """What measured: "look" or "knock", "trace", or both: "trace+look"."""
        if self.times is self.waits:
            return self.times.method
        return f"{self.times.method}+{self.waits.method}"

    @property
    def looks(self) -> float:
        """How many looks the held fraction is worth; infinitely many if it is exact."""
        return float("inf") if self.is_exact else effective_ticks(self.times)

    @cached_property
    def asked(self) -> Waits:
        """The waits of our knocks; none where nobody of ours asked."""
        return Waits((), 1) if self.knocks is None else Waits.of(self.knocks)

    @property
    def longest_wait_ns(self) -> int:
        """The longest wait, also one that had not ended."""
        if self.waits.method == "trace":
            return max(self.waits.wait_max_ns, self.waits.in_flight_ns)
        return max(self.asked.longest_ns, min(self.waits.in_flight_ns, self.waits.observed_ns))

    @property
    def longest_hold_ns(self) -> int:
        """The longest hold; without a tracer the longest that a knock met, from when it did."""
        return self.longest_wait_ns if self.traced is None else self.traced.hold_max_ns

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

    def percentile(self, p: float) -> float:
        """Return what a thread that wanted the GIL would not have waited longer than, ns.

        At `p` percent of the instants; of the program's own waits if only these are known. NaN
        without any.
        """
        return (
            self.waits.percentile(p) if self.waits.method == "trace" else self.asked.percentile(p)
        )

    def hold_kept_from_us(self, ns: int) -> LongHold | None:
        """Return the longest traced hold beyond `ns` in which we asked for the GIL; None without.

        Code that nobody asks holds on to it, however willing it would be to give it up; and knocks
        may come late on a busy machine. So a hold counts where a knock waited for most of that time
        within it: enough of them are asked in time to meet any that is longer by a fifth. A knock
        that waited as long over many holds, by a thread that took the GIL back too soon for others,
        says nothing of any.
        """
        kept = [
            hold
            for hold in self.long_holds
            if hold.end_ns - hold.start_ns > ns
            and (
                self.knocks is None or self.asked.within(hold.start_ns, hold.end_ns) > _MOST_OF * ns
            )
        ]
        return max(kept, key=lambda hold: hold.end_ns - hold.start_ns, default=None)

    def stall_in(self, hold: LongHold | None) -> Stall | None:
        """Return what was seen of a hold while it lasted; of the longest one without `hold`."""
        if not self.stalls:
            return None
        of = self.times if hold is None else hold
        start, end = of.start_ns, of.end_ns
        shared = {
            stall: min(stall.since_ns + stall.held_ns, end) - max(stall.since_ns, start)
            for stall in self.stalls
        }
        found = max(shared, key=lambda stall: shared[stall])
        return found if shared[found] > 0 else None

    def is_kept_from_us(self, ns: int) -> bool:
        """Whether the GIL was held for longer than `ns` although we asked for it.

        Without a tracer a wait may be over many holds, by threads that queue or by one that takes
        the GIL back too soon for others: only where the figures leave neither is it one.
        """
        if self.traced is None:
            return self.may_be_kept_from_us(ns) and kept_by_one(self.waits)
        return self.hold_kept_from_us(ns) is not None

    def may_be_kept_from_us(self, ns: int) -> bool:
        """Whether the GIL may have been held for longer than `ns` although we asked for it."""
        return self.longest_wait_ns > ns if self.traced is None else self.is_kept_from_us(ns)


class Meter:
    """A sampler, a tracer, or both; kept running over many tests.

    Where there can be no tracer, or it cannot be started, there is a sampler in its place. Not for
    use by several threads.

    Parameters
    ----------
    method : {"auto", "knock", "trace"}
        A sampler, a tracer, or both.
    interval_micros, knock_interval_micros : int
        The mean intervals of looks and of knocks.
    holds_ns : int, default 0
        From which length on single holds matter: then they are traced, and the GIL is asked for,
        whatever the method; 0 if they do not.
    """

    def __init__(
        self, method: str, interval_micros: int, knock_interval_micros: int, *, holds_ns: int = 0
    ) -> None:
        self._method = method
        self._intervals = interval_micros, knock_interval_micros
        self._holds_ns = holds_ns
        self._tracer: GilTracer | None = None
        self._knocker: KnockKnock | None = None
        self._stall_watch: StallWatch | None = None
        if method != "knock" or holds_ns:
            self._tracer = _new_tracer(holds_ns)
        if method != "trace" or holds_ns or self._tracer is None:
            self._knocker = self._new_knocker()

    def prepare(self) -> None:
        """Start what does not run yet, or not in this process: the next `begin` is cheap then.

        Raises
        ------
        RuntimeError
            If no thread can be started.
        """
        if self._tracer is not None:
            self._start_tracer(self._tracer)
        if self._tracer is None and self._knocker is None:
            self._knocker = self._new_knocker()
        if self._knocker is not None and not self._knocker.is_running:
            self._knocker.start()
        if self._holds_ns and self._stall_watch is None:
            self._stall_watch = _new_stall_watch(self._holds_ns)

    def begin(self) -> None:
        """Forget all before this instant: what is under way counts from now.

        Raises
        ------
        RuntimeError
            If no thread can be started.
        """
        self.prepare()
        if self._knocker is not None:
            self._knocker.reset_contention_metric()
        if self._tracer is not None:
            self._tracer.reset()

    def end(self) -> Reading:
        """Return what was measured since the last `begin`."""
        sampled = None if self._knocker is None else self._knocker.snapshot(waits=True)
        traced: Snapshot | None = None
        long_holds: list[LongHold] = []
        lost = False
        if self._tracer is not None:
            traced = self._tracer.snapshot()
            lost = self._tracer._lost_waits
            if 0 < self._holds_ns <= traced.hold_max_ns:
                long_holds = self._tracer._long_holds()
        # Under "trace" knocks are only there to ask, under "knock" only holds are traced.
        times = sampled if traced is None or self._method == "knock" else traced
        waits = traced if sampled is None or (traced and self._method == "trace") else sampled
        assert times is not None and waits is not None
        reading = Reading(times, waits, sampled, traced, tuple(long_holds), lost)
        if self._holds_ns and reading.may_be_kept_from_us(self._holds_ns):
            return replace(reading, stalls=self._stalls())
        return reading

    def stop(self) -> None:
        """End its threads."""
        for part in (self._knocker, self._tracer, self._stall_watch):
            if part is not None:
                part.stop()
        self._stall_watch = None

    def _stalls(self) -> tuple[Stall, ...]:
        """Return the stalls so far, also one that is not known to be over: that ends the watch."""
        watch, self._stall_watch = self._stall_watch, None
        if watch is None:
            return ()
        watch.stop()
        return watch.stalls

    def _new_knocker(self) -> KnockKnock:
        from gilknocker import KnockKnock, _core

        interval, knock_interval = self._intervals
        # What comes late of our looks is how busy the machine is. Who is to be exact is the tracer.
        method: Literal["look", "auto"] = "auto" if _core.look_problem() else "look"
        return KnockKnock(interval, knock_interval_micros=knock_interval, method=method)

    def _start_tracer(self, tracer: GilTracer) -> None:
        try:
            if not tracer.is_running:
                tracer.start()
        except Exception:  # the pointers that it redirects are somebody else's by now, say
            self._tracer = None


def _new_stall_watch(holds_ns: int) -> StallWatch | None:
    """Return a watch that sees what is held for longer; None where there can be none."""
    from gilknocker.meters.stall_watch import LEAST_NS, silent_watch

    try:
        return silent_watch(f"{max(holds_ns // 2, LEAST_NS)} ns")
    except (RuntimeError, ValueError):
        return None


def _new_tracer(holds_ns: int) -> GilTracer | None:
    """Return one where there can be one."""
    try:
        from gilknocker import GilTracer

        if not GilTracer.supported()[0]:
            return None
        return GilTracer._of_long_events(holds_ns) if holds_ns else GilTracer(events=0)
    except Exception:
        return None
