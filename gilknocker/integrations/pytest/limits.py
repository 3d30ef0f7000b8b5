"""What a test may not exceed, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass
from sys import getswitchinterval  # now: a test may replace it

from gilknocker._core import MOST_THREADS, stack_problem
from gilknocker._units import format_ns, format_percent, printable
from gilknocker.integrations.pytest.bars import bars
from gilknocker.integrations.pytest.stalls import stack_tail
from gilknocker.reports.stacks import short_frame_words
from gilknocker.reports.words import LEAST_KNOCKS, LEAST_LOOKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from gilknocker.integrations.pytest.meter import Reading
    from gilknocker.integrations.pytest.waits import Waits
    from gilknocker.meters.stalls import Stall
    from gilknocker.meters.tracer import LongHold

__all__ = [
    "SHORTEST_NS",
    "UNTOLD",
    "Limit",
    "Verdict",
    "hold_lines",
    "judge",
    "knock_interval_for",
    "too_short",
]


# Each knock is a handover of the GIL: denser ones would be what is measured.
LEAST_KNOCK_MICROS = 200
# Knocks come up to two intervals apart. So a hold that is longer than its limit by a fifth is met
# early enough to be seen as too long; and code that gives the GIL up when asked, 5 ms later, is
# asked early enough to keep to a limit of 10 ms. And a body that takes longer than its limit on
# waits is long enough for as many as are needed to judge it.
KNOCKS_PER_LIMIT = 15
# A thread that waits for the GIL asks for it when it gets to run. Where so large a share of our
# looks comes late it hardly does, and what kept the GIL might have given it up.
TOO_BUSY = 0.3
# What a wait may have been, where there is no tracer.
UNTOLD = (
    "a knock waited {} for the GIL, and without a tracer nobody can tell whether that was one hold "
    "or many: threads may have queued for it, or one may have taken it back before others were "
    "awake"
)
# Of a shorter body the held fraction says little, even where it is exact.
SHORTEST_NS = 10_000_000


@dataclass(frozen=True)
class Limit:
    """A limit, as a mark gives it.

    Attributes
    ----------
    name : str
        That of the mark.
    ns : int
        The longest hold or wait allowed, 0 where that is not what is limited.
    percentile : float
        Which of the waits.
    share : float
        The largest share of the time that the GIL may be held.
    """

    name: str
    ns: int = 0
    percentile: float = 100.0
    share: float = 1.0

    def __str__(self) -> str:
        if self.name == "limit_gil_contention":
            return f"{format_percent(self.share)} %"
        return format_ns(self.ns)


@dataclass(frozen=True)
class Verdict:
    """Whether a test kept to a limit.

    Attributes
    ----------
    limit : Limit
        Which.
    state : {"kept", "exceeded", "undecided"}
        The answer.
    figure : float or None
        What is compared with it: ns or a share; None where nothing was seen.
    message : str
        Why, for people; "" if it was kept.
    """

    limit: Limit
    state: Literal["kept", "exceeded", "undecided"]
    figure: float | None = None
    message: str = ""


def knock_interval_for(limit_ns: int) -> int:
    """Return the interval of knocks in µs that finds what is longer than a limit."""
    return max(limit_ns // (1_000 * KNOCKS_PER_LIMIT), LEAST_KNOCK_MICROS)


def too_short(limit: Limit) -> str:
    """Return why a limit is one that pure Python code exceeds by design, "" if it is not."""
    switch_ns = getswitchinterval() * 1e9
    if not limit.ns or limit.ns >= 2 * switch_ns:
        return ""
    return (
        f"{limit.name}: a limit of {limit} is less than twice sys.getswitchinterval(), "
        f"{format_ns(switch_ns)}, after which Python code lets go of the GIL when another thread "
        "asks: only a test that is nearly all C code can keep to it"
    )


def judge(limit: Limit, reading: Reading, own: str = "", root: str = "") -> Verdict:
    """Return whether the body of a test kept to a limit.

    Parameters
    ----------
    limit : Limit
        What it must not exceed.
    reading : Reading
        What was measured.
    own, root : str, optional
        The file of the test, and the folder that files are shown relative to.
    """
    if reading.times.gil_enabled is False:
        return Verdict(limit, "kept")
    if limit.name == "limit_gil_hold":
        return _judge_hold(limit, reading, own, root)
    if limit.name == "limit_gil_wait":
        return _judge_wait(limit, reading)
    return _judge_share(limit, reading)


def hold_lines(reading: Reading, hold: LongHold | None, own: str = "", root: str = "") -> list[str]:
    """Return whose the longest hold was, when and where, how it is known, and how long others were.

    Parameters
    ----------
    reading : Reading
        What was measured.
    hold : LongHold or None
        The hold, where holds are traced.
    own, root : str, optional
        As those of `judge`.
    """
    stall = reading.stall_in(hold)
    where = [] if stall is None else _stack(stall, own, root)
    if reading.traced is not None:
        when = [] if hold is None else [_when(reading, hold.thread, hold.start_ns, hold.end_ns)]
        histogram = reading.traced.hold_histogram
        return [*when, *where, "every hold was traced: exact", *_distribution("holds", histogram)]
    asked = reading.asked
    when = []
    if stall is not None:
        when = [_when(reading, stall.thread, stall.since_ns, stall.since_ns + stall.held_ns)]
    return [
        *when,
        *where,
        f"estimated from the longest wait of {_count(len(asked.spans), 'knock')}, "
        f"{format_ns(asked.interval_ns)} apart: one thread had it, and waits that end with its "
        "holds are about equally long, as these are; the hold had begun before the knock",
        *_distribution("waits of knocks", _rows(asked)),
    ]


def _when(reading: Reading, thread: str, start_ns: int, end_ns: int) -> str:
    start, end = (_instant(at - reading.times.start_ns) for at in (start_ns, end_ns))
    who = printable(thread) or "a thread without a name"
    return f"by {who}, from {start} to {end} after the begin"


def _stack(stall: Stall, own: str, root: str) -> list[str]:
    if not stall.frames:
        problem = stack_problem()
        return [f"in which line is not known: {problem or 'its stack could not be read'}"]
    return [
        "the most recent call first:",
        *(f"  {at}" for at in stack_tail(stall.frames, own, root)),
    ]


def _judge_hold(limit: Limit, reading: Reading, own: str, root: str) -> Verdict:
    longest = reading.longest_hold_ns
    if reading.is_kept_from_us(limit.ns):
        hold = reading.hold_kept_from_us(limit.ns)
        if hold is not None:
            longest = hold.end_ns - hold.start_ns
        if reading.untimely > TOO_BUSY:
            return _too_busy(limit, longest, reading)
        about = "about " if reading.traced is None else ""
        stall = reading.stall_in(hold)
        where = f", in {short_frame_words(stall.frames[-1])}" if stall and stall.frames else ""
        headline = (
            f"limit_gil_hold: the GIL was held for {about}{format_ns(longest, 3)} without a "
            f"release{where}; the limit is {limit}"
        )
        lines = [headline, *hold_lines(reading, hold, own, root)]
        return Verdict(limit, "exceeded", longest, _lines(lines))
    if longest > limit.ns:
        message = (
            f"limit_gil_hold: the GIL was held for {format_ns(longest, 3)}, but no knock came "
            "early enough to tell whether it would have been given up"
            if reading.traced is not None
            else f"limit_gil_hold: {UNTOLD.format(format_ns(longest, 3))}"
        )
        return Verdict(limit, "undecided", longest, message)
    # What is shorter than the limit cannot hold the GIL for longer.
    known = reading.traced is not None or reading.asked.spans
    if known or reading.times.observed_ns <= limit.ns:
        return Verdict(limit, "kept", longest)
    return Verdict(limit, "undecided", None, "limit_gil_hold: no knock was answered")


def _judge_wait(limit: Limit, reading: Reading) -> Verdict:
    waits = reading.waits
    traced = waits.method == "trace"
    # That nobody waited is known, too.
    enough = traced or reading.asked.instants >= LEAST_KNOCKS or waits.observed_ns <= limit.ns
    if not enough:
        message = (
            f"limit_gil_wait: {_count(reading.asked.instants, 'knock')}, at least {LEAST_KNOCKS} "
            "are needed"
        )
        return Verdict(limit, "undecided", None, message)
    if traced and reading.has_lost_waits:
        message = (
            f"limit_gil_wait: there were more than {MOST_THREADS:,} threads at a time, and the "
            "waits of the later ones are not known"
        )
        return Verdict(limit, "undecided", None, message)
    figure = reading.percentile(limit.percentile)
    if figure != figure:  # NaN: none has ended
        figure = float(reading.longest_wait_ns)
    if figure <= limit.ns:
        return Verdict(limit, "kept", figure)
    if reading.untimely > TOO_BUSY:
        return _too_busy(limit, figure, reading)
    whose = "threads" if traced else "knocks"
    count = waits.knocks if traced else len(reading.asked.spans)
    longer = waits.exceeds(limit.ns) if traced else reading.asked.exceeding(limit.ns)
    lines = [
        f"limit_gil_wait: a thread that wanted the GIL waited {format_ns(figure, 3)} for it "
        f"(p{limit.percentile:g} of the waits); the limit is {limit}",
        f"of {_count(count, 'wait')} of {whose}, {longer} were longer than the limit, the longest "
        f"{format_ns(reading.longest_wait_ns, 3)}",
        *_distribution(f"waits of {whose}", waits.histogram if traced else _rows(reading.asked)),
    ]
    return Verdict(limit, "exceeded", figure, _lines(lines))


def _judge_share(limit: Limit, reading: Reading) -> Verdict:
    times = reading.times
    fraction, interval = times.held_fraction, times.held_fraction_interval
    if fraction is None or interval is None:
        return Verdict(limit, "kept")
    low, high = interval
    if reading.is_exact and times.observed_ns < SHORTEST_NS and fraction > limit.share:
        message = (
            f"limit_gil_contention: a body of {format_ns(times.observed_ns)}, at least "
            f"{format_ns(SHORTEST_NS)} are needed"
        )
        return Verdict(limit, "undecided", fraction, message)
    if low > limit.share:
        known = (
            "exact"
            if reading.is_exact
            else f"{format_percent(low)} to {format_percent(high)} %, 95 % confidence"
        )
        lines = [
            f"limit_gil_contention: the GIL was held {format_percent(fraction)} % of the time; the "
            f"limit is {limit}",
            f"{known}; of {format_ns(times.observed_ns, 3)}",
            *_distribution("waits", reading.waits.histogram),
        ]
        return Verdict(limit, "exceeded", fraction, _lines(lines))
    if reading.looks < LEAST_LOOKS and high > limit.share:
        message = (
            f"limit_gil_contention: {_count(round(reading.looks), 'look')} at the GIL, at least "
            f"{LEAST_LOOKS} are needed"
        )
        return Verdict(limit, "undecided", None if fraction != fraction else fraction, message)
    return Verdict(limit, "kept", fraction)


def _too_busy(limit: Limit, figure: float, reading: Reading) -> Verdict:
    message = (
        f"{limit.name}: {format_ns(figure, 3)}, but the machine was too busy to tell whose fault "
        f"that was: {format_percent(reading.untimely)} % of the looks came late or not at all"
    )
    return Verdict(limit, "undecided", figure, message)


def _rows(waits: Waits) -> list[tuple[int, int, int]]:
    """Return them as a histogram has them."""
    return [(end - start, end - start + 1, 1) for start, end in waits.spans]


def _instant(ns: int) -> str:
    return format_ns(max(ns, 0), 3)


def _distribution(title: str, histogram: Iterable[tuple[int, int, int]]) -> list[str]:
    rows = bars(histogram)
    return [f"{title}:", *(f"  {row}" for row in rows)] if rows else []


def _lines(lines: list[str]) -> str:
    return "\n".join([lines[0], *(f"  {line}" for line in lines[1:])])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
