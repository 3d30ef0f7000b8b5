"""What the figures of a snapshot mean, in a sentence or two.

A cause is named only if the figures leave no other; else those that remain are named together.
What each load is told is a table in docs/runner.md, and a test.

Looks tell which threads held the GIL, and knocks how long one that asked for it waited. Both cannot
tell a thread that keeps it from one that lets go and has it back before whoever waits is awake (the
waiter's switch interval begins anew then): but waits of the first kind end with what it does, and
are about equally long, and those of the second are of any length.
"""

from __future__ import annotations

from gilknocker._units import format_count, format_ns, format_percent, printable
from gilknocker.snapshot.fields import effective_ticks, told_of_holders

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.snapshot.histogram import WaitHistogram
    from gilknocker.snapshot.value import Snapshot

__all__ = [
    "LEAST_KNOCKS",
    "LEAST_LOOKS",
    "UNTIMELY",
    "in_flight_ns",
    "interpretation",
    "kept_by_one",
    "ns_beyond",
    "switch_ns",
    "untimely",
]

# Below so many looks the held fraction is uncertain by more than +-0.15, and nothing is concluded.
LEAST_LOOKS = 40
# Of fewer waits neither the median nor the tail is worth a sentence.
LEAST_KNOCKS = 10

IDLE = 0.2  # held less than that: room for a few more threads that use it as much
BUSY = 0.8
HARDLY = 0.02  # of their time: threads that wait no longer than that do not mind
# In units of sys.getswitchinterval(), after which a waiting thread makes a holder let go that runs
# Python code. A little more than one passes until it does.
QUICK = 0.2
ONE_TURN = 0.7
TURNS = 2.0  # nine of ten waits for a thread that runs Python code are shorter
LONG = 20.0
MOSTLY = 0.5  # the share of all waiting from which on a kind of wait decides what is said
SOME = 0.1  # the same, from which on it is said
ALONE = 0.9  # the share of the time held from which on others cannot have been in the way
# So many waits, none longer than so many times the median: they all end with what the holder does.
EQUALLY_LONG = 2.5
LEAST_EQUAL = 20
# Nor are more than so many of them short: who gives it away unasked does not keep it.
SHORT_PERCENT = 10
UNTIMELY = 0.1  # the share of late and missed looks from which on it matters
NOTICEABLE = 0.1  # of the time: waiting so long is not "quickly"

_DEFAULT_SWITCH_NS = 5_000_000
_KEPT = "code that keeps it without a break, as a C extension can"
_TAKEN_BACK = (
    "code that lets go of it for a moment, and takes it back before a waiting thread is awake"
)
_QUEUE = "threads that queue up for it"
_MACHINE = "a machine too busy to run whoever holds it"
# As benchmarks/starvation.py measures.
_AGAINST_RETAKES = (
    " A rest after each piece of work (time.sleep(0) is one), sys.setswitchinterval() of less than "
    "a piece takes, or a process of its own for that work lets others have it sooner."
)
_REMEDY = (
    " More threads of this kind make nothing faster; processes would, or code that releases the "
    "GIL."
)


def interpretation(snapshot: Snapshot) -> str:
    """Return what the figures mean, in a sentence or a few; careful rather than complete."""
    fraction, interval = snapshot.held_fraction, snapshot.held_fraction_interval
    if fraction is None or interval is None:
        return "There was no GIL: no thread had to wait for it."
    if snapshot.method == "trace":
        return _on_trace(snapshot, fraction)
    looks = effective_ticks(snapshot)
    if looks < LEAST_LOOKS:
        return (
            f"Too short to say how busy the GIL was: {format_count(round(looks), 'look')} at it, "
            f"and at least {LEAST_LOOKS} are needed."
        )
    held = f"The GIL was held {format_percent(fraction)} % of the time"
    if interval[1] < IDLE:
        said = _on_idle(snapshot)
    elif snapshot.knocks < LEAST_KNOCKS:
        said = _on_few(snapshot, held)
    else:
        said = _on_waits(snapshot, held, fraction)
    return f"{said}{_by_line(snapshot)[1]}" if _waits_matter(snapshot, fraction) else said


def untimely(snapshot: Snapshot) -> float:
    """Return the share of looks that came late or not at all."""
    instants = snapshot.ticks + snapshot.ticks_missed
    return (snapshot.ticks_late + snapshot.ticks_missed) / instants if instants else 0.0


def switch_ns(snapshot: Snapshot) -> int:
    """Return the switch interval, or the usual one where parts of a merge differ."""
    return snapshot.switch_interval_ns or _DEFAULT_SWITCH_NS


def kept_by_one(snapshot: Snapshot) -> bool:
    """Whether looks and knocks leave no other cause of long waits: one thread keeps the GIL."""
    return (
        _alone(snapshot) is not None
        and snapshot.knocks >= LEAST_EQUAL
        and _longest_ns(snapshot) <= EQUALLY_LONG * snapshot.percentile(50)
        and snapshot.percentile(SHORT_PERCENT) >= ONE_TURN * switch_ns(snapshot)
        and not in_flight_ns(snapshot)
    )


def _waits_matter(snapshot: Snapshot, fraction: float) -> bool:
    """Whether it is worth a sentence by which line the GIL was held."""
    if snapshot.knocks < LEAST_KNOCKS:
        return fraction >= IDLE
    return (
        snapshot.percentile(90) >= ONE_TURN * switch_ns(snapshot)
        or snapshot.wait_total_ns >= NOTICEABLE * snapshot.observed_ns
        or bool(_long_ones(snapshot))
    )


def _on_idle(snapshot: Snapshot) -> str:
    free = "The GIL was free most of the time"
    if _long_ones(snapshot):
        return (
            f"{free}, but not always soon: a thread would have waited up to "
            f"{format_ns(_longest_ns(snapshot))} ({_long_ones(snapshot)}). {_causes(snapshot)}"
        )
    if snapshot.knocks >= LEAST_KNOCKS and snapshot.percentile(90) >= ONE_TURN * switch_ns(
        snapshot
    ):
        return (
            f"{free}, though one in ten that asked for it waited "
            f"{format_ns(snapshot.percentile(90))} or more."
        )
    return f"{free}: waiting for it is not what slows threads down here."


def _on_few(snapshot: Snapshot, held: str) -> str:
    if snapshot.method == "outside":
        return f"{held}; how long a thread would wait for it cannot be tried from outside."
    asked = snapshot.wait_total_ns + snapshot.in_flight_ns
    longest = _longest_ns(snapshot)
    if asked >= MOSTLY * snapshot.observed_ns and longest >= TURNS * switch_ns(snapshot):
        missed = format_count(snapshot.knocks_missed, "knock")
        return (
            f"{held}, and a thread would have waited up to {format_ns(longest)}, most of the time "
            f"there was: {missed} could not even be made meanwhile. {_causes(snapshot)}"
        )
    return (
        f"{held}; {format_count(snapshot.knocks, 'knock')}: too few to say how long a thread would "
        "have waited for it."
    )


def _on_waits(snapshot: Snapshot, held: str, fraction: float) -> str:
    switch = switch_ns(snapshot)
    median, p90 = snapshot.percentile(50), snapshot.percentile(90)
    long_ones = _long_ones(snapshot)
    if ns_beyond(snapshot.histogram, LONG * switch) + in_flight_ns(snapshot) >= MOSTLY * (
        snapshot.wait_total_ns + in_flight_ns(snapshot)
    ):
        return (
            f"{held}, and a thread would have waited up to {format_ns(_longest_ns(snapshot))} "
            f"({long_ones}). {_causes(snapshot)}"
        )
    if median >= ONE_TURN * switch and p90 >= TURNS * switch:
        return (
            f"{held}, and not given up soon when another asks: half of the waits took "
            f"{format_ns(median)} or more, one in ten {format_ns(p90)}. {_causes(snapshot)}"
            f"{_REMEDY if fraction >= BUSY else ''}"
        )
    remark = f" {_sentence(long_ones)}: too few to say why." if long_ones else ""
    if median >= ONE_TURN * switch:
        return (
            f"{held}, as it is where one thread at a time that runs Python code keeps it, and "
            f"gives it up only after {format_ns(switch)}, when another asks: each thread more "
            f"waits for that. Processes would not, nor code that releases the GIL.{remark}"
        )
    room = _room(fraction)
    if p90 < QUICK * switch:
        quickly = f"90 % of the waits took at most {format_ns(p90)}"
        waiting = snapshot.wait_total_ns / snapshot.observed_ns if snapshot.observed_ns else 0.0
        if waiting < NOTICEABLE:
            return f"{held}, and handed over quickly: {quickly}. {room}{remark}"
        return (
            f"{held}. {quickly}, but the longest {format_ns(snapshot.wait_max_ns)}, and so a "
            f"thread that asks at any time would have waited in {format_percent(waiting)} % of "
            f"it.{remark}"
        )
    waits = f"half took at most {format_ns(median)}, one in ten more than {format_ns(p90)}."
    return f"{held}, and waits differ: {waits}{' ' + room if fraction >= BUSY else ''}{remark}"


def _room(fraction: float) -> str:
    if fraction >= BUSY:
        return "There is hardly room for more threads that use it as much."
    return "There is room for more threads."


def _causes(snapshot: Snapshot) -> str:
    """Return what may be behind waits that are longer than Python code makes one wait."""
    alone = _alone(snapshot)
    proven, _ = _by_line(snapshot)
    who = _by_turns(snapshot)
    if alone is not None:
        who = f"{alone} had it nearly all of the time it was held. "
    # Who only counts cannot tell how busy the machine is.
    machine = not snapshot.ticks or untimely(snapshot) > UNTIMELY
    by_one = kept_by_one(snapshot)
    if by_one and not machine:
        return f"{who}That is {_KEPT}."
    if proven >= MOSTLY:  # a proof takes CPU time
        return f"{who}Most of that is {_KEPT}."
    causes = [_QUEUE] if alone is None else []
    causes.append(_KEPT if proven < SOME else "the same")
    causes += [_TAKEN_BACK] if not by_one else []
    causes += [_MACHINE] if machine else []
    begin = "That" if proven < SOME else f"Some of that is {_KEPT}. The rest"
    return f"{who}{begin} may be {_either(causes)}. A trace (--trace) tells which."


def _by_line(snapshot: Snapshot) -> tuple[float, str]:
    """Return what share was proven to be native code, and which line is to blame, in a sentence."""
    if not snapshot._stacks:  # nothing to import
        return 0.0, ""
    from gilknocker.reports.line_reasons import line_reasons

    return line_reasons(snapshot)


def _either(causes: list[str]) -> str:
    return f"{'; '.join(causes[:-1])}; or {causes[-1]}"


def _alone(snapshot: Snapshot) -> str | None:
    """Return the name of the thread that had the GIL nearly all the time it was held, if one had.

    None too if it could not be told of too many looks.
    """
    held = told_of_holders(snapshot)
    most = max(snapshot._holders, key=lambda holder: holder[3], default=None)
    if most is None or most[3] < ALONE * held:
        return None
    return printable(most[2])[:32]


def _by_turns(snapshot: Snapshot) -> str:
    """Return how many threads it took to hold the GIL nearly all of the time it was held."""
    held = told_of_holders(snapshot)
    sofar = count = 0
    for *_, share in sorted(snapshot._holders, key=lambda holder: -holder[3]):
        if sofar >= ALONE * held:
            break
        sofar, count = sofar + share, count + 1
    return f"{count} threads had it by turns. " if count > 1 and sofar >= ALONE * held else ""


def _long_ones(snapshot: Snapshot) -> str:
    """Return how many waits were beyond any usual queue; "" if none was."""
    limit = LONG * switch_ns(snapshot)
    # A wait of exactly that counts, though a histogram can only tell those beyond.
    count = snapshot.exceeds(limit) or int(snapshot.wait_max_ns >= limit)
    found = []
    if count:
        found.append(
            f"{count} of {format_count(snapshot.knocks, 'wait')} took {format_ns(limit)} or more"
        )
    if in_flight_ns(snapshot) >= limit:
        found.append(f"one was not over after {format_ns(snapshot.in_flight_ns)}")
    return ", ".join(found)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def ns_beyond(histogram: WaitHistogram, limit: float) -> float:
    """Return the sum of the times in a histogram that are about `limit` or longer."""
    return sum(count * (lower + upper) / 2 for lower, upper, count in histogram if upper >= limit)


def in_flight_ns(snapshot: Snapshot) -> int:
    """Return how long the last knock had waited, if that is news."""
    return snapshot.in_flight_ns if snapshot.in_flight_ns > switch_ns(snapshot) else 0


def _longest_ns(snapshot: Snapshot) -> int:
    return max(snapshot.wait_max_ns, snapshot.in_flight_ns)


def _on_trace(snapshot: Snapshot, fraction: float) -> str:
    waited = snapshot.wait_fraction
    if not snapshot.observed_ns or waited is None or waited != waited:
        return "Nothing was traced."
    switch = switch_ns(snapshot)
    figures = (
        f"The GIL was held {format_percent(fraction)} % of the time, and the threads waited for it "
        f"{format_percent(waited)} % of theirs"
    )
    if waited < HARDLY:
        return f"{figures}: hardly anybody had to wait."
    long_holds = ns_beyond(snapshot.hold_histogram, TURNS * switch)
    # It still goes on. Of a window the longest may only be a bound.
    if snapshot.hold_max_exact and snapshot.hold_max_ns > snapshot.hold_histogram.highest_ns:
        long_holds += snapshot.hold_max_ns
    waits_long = snapshot.percentile(90) >= TURNS * switch
    proven, by_line = _by_line(snapshot)
    if waits_long and long_holds >= MOSTLY * snapshot.held_ns:
        # A proof of native code is one of CPU time too: the machine let it run.
        causes = f"may be {_KEPT}; or {_MACHINE}"
        if proven >= MOSTLY:
            causes = f"is {_KEPT}"
        return (
            f"{figures}. Most of that time it was held for {format_ns(TURNS * switch)} or more at "
            f"a stretch, up to {format_ns(snapshot.hold_max_ns)}, though Python code gives it up "
            f"after {format_ns(switch)} when another asks. That {causes}.{by_line}"
        )
    alone = _alone(snapshot)
    if _starves(snapshot):
        return f"{figures}. {_on_retakes(snapshot, alone)}{by_line}"
    if waits_long and alone is not None:
        return (
            f"{figures}. {alone} had it nearly all of the time it was held, and let go of it often "
            f"(half of the holds took at most {format_ns(snapshot.hold_percentile(50))}), but one "
            f"wait in ten took {format_ns(snapshot.percentile(90))} or more: it takes it back "
            f"before a waiting thread is awake.{_AGAINST_RETAKES}{by_line}"
        )
    longest = ""
    if snapshot.hold_max_ns >= LONG * switch:
        at_most = "" if snapshot.hold_max_exact else "at most "
        longest = (
            f" The longest hold took {at_most}{format_ns(snapshot.hold_max_ns)}: nobody asked "
            f"then, or it was {_KEPT}."
        )
    return (
        f"{figures}: they were in each other's way. Processes would not be, nor code that releases "
        f"the GIL.{longest}{by_line}"
    )


def _starves(snapshot: Snapshot) -> bool:
    """Whether most of the waiting was in long waits in which others took the GIL back first."""
    long_waits = ns_beyond(snapshot.histogram, TURNS * switch_ns(snapshot))
    return (
        snapshot.retakes >= LEAST_KNOCKS
        and snapshot.passed_over_ns >= MOSTLY * snapshot.waited_ns
        and long_waits + in_flight_ns(snapshot) >= MOSTLY * snapshot.waited_ns
    )


def _on_retakes(snapshot: Snapshot, alone: str | None) -> str:
    let_go, retakes = snapshot.wanted_releases, snapshot.retakes
    again = "each time" if retakes == let_go else f"{retakes:,} times"
    return (
        f"{alone or 'The threads'} let go of it {let_go:,} times while another waited, and took it "
        f"back {again} before that one was awake: waits of {format_ns(snapshot.passed_over_ns)} in "
        f"all, up to {format_ns(_longest_ns(snapshot))}, for its switch interval begins anew each "
        f"time.{_AGAINST_RETAKES}"
    )
