"""A snapshot in words: what the command line, and every other front-end, says about one.

`facts` are labelled figures, `interpretation` (of :mod:`gilknocker.reports.reasons`) is a sentence
for who does not know the GIL, and `caveats` say what makes the figures less sure than they look.
`text` puts them together.
"""

from __future__ import annotations

from gilknocker._units import format_count, format_ns, format_percent, printable
from gilknocker.reports.reasons import (
    LEAST_KNOCKS,
    LEAST_LOOKS,
    UNTIMELY,
    interpretation,
    switch_ns,
    untimely,
)
from gilknocker.snapshot.fields import crowd_held_ns, effective_ticks, is_exact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilknocker.reports.processes import MeasuredProcess
    from gilknocker.snapshot.thread_times import ThreadTimes
    from gilknocker.snapshot.value import Snapshot

__all__ = [
    "LEAST_KNOCKS",
    "LEAST_LOOKS",
    "caveats",
    "facts",
    "interpretation",
    "printable",
    "table",
    "text",
]

# Of fewer than these the 99th percentile is the longest (nearest rank).
LEAST_KNOCKS_FOR_P99 = 100

CHILDREN_COUNT = 0.01  # of the time: what child processes used, from which on it is said

MOST_THREADS = 12
_HEADS = ("thread", "held", "waited", "neither", "longest hold", "forced out")
_MOST_HOLDERS = 3

_WIDTH = 96


def text(
    snapshot: Snapshot,
    *,
    program: Sequence[str] | None = None,
    exit_status: int | None = None,
    threads: Sequence[ThreadTimes] = (),
    children_cpu_ns: int = 0,
    processes: Sequence[MeasuredProcess] = (),
    notes: Sequence[str] = (),
    children: int = 0,
) -> str:
    """Return the report as text, ending in a newline: ASCII unless `program` is not.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured.
    program : sequence of str, optional
        The words of the command.
    exit_status : int, optional
        How it ended; of death by a signal its number, negative.
    threads : sequence of ThreadTimes, optional
        What each thread did, of a trace.
    children_cpu_ns : int, default 0
        The CPU time of child processes, ns.
    processes : sequence of MeasuredProcess, optional
        Those that `snapshot` is of, taken together.
    notes : sequence of str, optional
        What else is to be said of it.
    children : int, default 0
        How many child processes there were at least, as far as known.
    """
    title = ["gilknocker:", format_ns(snapshot.observed_ns, digits=3)]
    if program:
        title += ["of", _command(program)]
    if exit_status is not None:
        # Death by a signal as shells have it: SIGINT is 130.
        title += [f"(exit status {exit_status if exit_status >= 0 else 128 - exit_status})"]
    lines = [" ".join(title)]
    lines += [f"  {label:<10}{value}" for label, value in facts(snapshot)]
    lines += table(threads)
    if processes:
        from gilknocker.reports.processes import process_lines

        lines += process_lines(processes)
    lines += _wrapped(interpretation(snapshot), "  ")
    for caveat in (*caveats(snapshot, children_cpu_ns, children), *notes):
        lines += _wrapped(f"Note: {caveat}", "  ")
    return "\n".join(lines) + "\n"


def facts(snapshot: Snapshot, *, with_lines: bool = True) -> list[tuple[str, str]]:
    """Return the figures: pairs of a label and a text; also of the lines that cost most."""
    found = [("GIL held", _held(snapshot))]
    if snapshot.holders:
        found.append(("held by", _holders(snapshot)))
    if with_lines and snapshot._stacks:
        from gilknocker.reports.stack_lines import costly_lines

        lines = [printable(line) for line in costly_lines(snapshot)]
        found += [("" if number else "by line", line) for number, line in enumerate(lines)]
    found.append(("waits", _waits(snapshot)))
    if snapshot.method == "trace":
        found += [("holds", _holds(snapshot)), ("waiting", _waiting(snapshot))]
        return [*found, ("looks", _looks(snapshot))] if snapshot.ticks else found
    how = (
        ("counted", _counted(snapshot))
        if snapshot.method == "count"
        else ("looks", _looks(snapshot))
    )
    return [*found, how, ("own cost", _own_cost(snapshot))]


def table(threads: Sequence[ThreadTimes]) -> list[str]:
    """Return the lines of a table of threads: those that held the GIL or waited for it longest."""
    if not threads:
        return []
    ordered = sorted(threads, key=lambda thread: (thread.ours, -thread.held_ns - thread.waited_ns))
    rows: list[tuple[str, ...]] = [_HEADS]
    for one in ordered[:MOST_THREADS]:
        times = (one.held_ns, one.waited_ns, one.released_ns, one.longest_hold_ns)
        rows.append((printable(one.name)[:32], *map(format_ns, times), str(one.forced_releases)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in rows
    ]
    if len(ordered) > MOST_THREADS:
        lines.append(f"  and {format_count(len(ordered) - MOST_THREADS, 'thread')} more")
    return lines


def _child_processes(known: int) -> str:
    if not known:
        return "child processes"
    return "1 child process or more" if known == 1 else f"{known} child processes or more"


def caveats(snapshot: Snapshot, children_cpu_ns: int = 0, children: int = 0) -> list[str]:
    """Return a sentence for each thing that makes the figures less sure than they look.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured.
    children_cpu_ns : int, default 0
        The CPU time of child processes meanwhile, ns.
    children : int, default 0
        How many of them there were at least, as far as known.
    """
    found = []
    if children_cpu_ns >= CHILDREN_COUNT * snapshot.observed_ns and children_cpu_ns:
        found.append(
            f"{_child_processes(children)} used {format_ns(children_cpu_ns)} of CPU time, "
            "which was not measured: each has a GIL of its own, and these figures are of this "
            "process alone (run --children watches them too)."
        )
    if crowd := crowd_held_ns(snapshot):
        found.append(
            "there were more threads than a trace keeps numbers of: some held the GIL for "
            f"{format_percent(crowd / snapshot.held_ns)} % of the time that it was held, and how "
            "long they waited for it is not known. The waits shown are those of the others."
        )
    if snapshot.method == "knock":
        found.append(
            "the GIL cannot be looked at in this Python, so the time held is estimated from the "
            "waits: read it as high or low, not as a figure."
        )
    if snapshot.gil_enabled == "mixed":
        found.append(
            "the GIL was switched off part of the time: the time held is a share of the rest."
        )
    if untimely(snapshot) > UNTIMELY and effective_ticks(snapshot) >= LEAST_LOOKS:
        unsure = "the time held is less sure than its interval says"
        if is_exact(snapshot):  # looks were for stacks
            unsure = "by which lines it was held is less sure"
        found.append(
            f"{format_percent(untimely(snapshot))} % of the looks came late or not at all (a busy "
            f"machine, or an interval too short for it): {unsure}."
        )
    if LEAST_KNOCKS <= snapshot.knocks < LEAST_KNOCKS_FOR_P99:
        found.append(f"of {snapshot.knocks} waits the p99 is the longest.")
    if snapshot.in_flight_ns > max(snapshot.wait_max_ns, switch_ns(snapshot)):
        found.append(
            f"one knock had waited for {format_ns(snapshot.in_flight_ns)} at the end and was not "
            "answered: it is not among the waits."
        )
    return found


def _held(snapshot: Snapshot) -> str:
    fraction, interval = snapshot.held_fraction, snapshot.held_fraction_interval
    if fraction is None or interval is None:
        return "never: there was none"
    if fraction != fraction:  # NaN
        return "unknown: no looks"
    if is_exact(snapshot):
        return f"{format_percent(fraction)} % of the time, exactly"
    low, high = map(format_percent, interval)
    return f"{format_percent(fraction)} % of the time ({low} to {high}, 95 % confidence)"


def _holders(snapshot: Snapshot) -> str:
    holders = snapshot.holders
    named = [
        f"{printable(holder.name)[:32]} {format_percent(holder.share)} %"
        for holder in holders[:_MOST_HOLDERS]
    ]
    if len(holders) > _MOST_HOLDERS:
        rest = sum(holder.share for holder in holders[_MOST_HOLDERS:])
        named.append(f"{len(holders) - _MOST_HOLDERS} more {format_percent(rest)} %")
    return ", ".join(named)


def _holds(snapshot: Snapshot) -> str:
    if not snapshot.holds:
        at_most = "" if snapshot.hold_max_exact else "at most "
        return f"one, of {at_most}{format_ns(snapshot.hold_max_ns)}"
    shown = _percentiles(snapshot.hold_percentile, snapshot.hold_max_ns, snapshot.hold_max_exact)
    return f"{shown}; {format_count(snapshot.holds, 'hold')}; method trace"


def _waiting(snapshot: Snapshot) -> str:
    fraction = snapshot.wait_fraction
    if fraction is None or fraction != fraction:
        return "unknown: no thread was seen"
    retaken = ""
    if snapshot.retakes:
        retaken = (
            f"; let go of {format_count(snapshot.wanted_releases, 'time')} meanwhile, "
            f"retaken by the same thread {format_count(snapshot.retakes, 'time')}"
        )
    return (
        f"{format_percent(fraction)} % of the threads' time: {format_ns(snapshot.waited_ns)} of "
        f"{format_ns(snapshot.thread_ns)}{retaken}"
    )


def _waits(snapshot: Snapshot) -> str:
    traced = snapshot.method == "trace"
    if not snapshot.knocks:
        if snapshot.method == "outside":
            return "unknown: from outside nobody can ask for the GIL"
        return "none" if traced else "unknown: no knock was answered"
    shown = _percentiles(snapshot.percentile, snapshot.wait_max_ns, snapshot.wait_max_exact)
    total = format_ns(snapshot.wait_total_ns)
    noun = "wait" if traced else "knock"
    missed = f", {snapshot.knocks_missed} missed" if snapshot.knocks_missed else ""
    return f"{shown}; {total} in all, of {format_count(snapshot.knocks, noun)}{missed}"


def _percentiles(percentile: Callable[[float], float], max_ns: int, max_is_exact: bool) -> str:
    shown = [f"p{p} {format_ns(percentile(p))}" for p in (50, 90, 99)]
    return f"{', '.join(shown)}, max {'' if max_is_exact else '<= '}{format_ns(max_ns)}"


def _counted(snapshot: Snapshot) -> str:
    share = "all"
    if not is_exact(snapshot):
        share = f"{format_percent(snapshot.counted_ns / snapshot.observed_ns)} %"
    counted = f"{share} of the time, timed by {snapshot.clock}"
    return f"{counted}; looks {_looks(snapshot)}" if snapshot.ticks else f"{counted}; method count"


def _looks(snapshot: Snapshot) -> str:
    parts = [f"{snapshot.ticks}"]
    if snapshot.interval_ns is not None:
        parts[0] += f", every {format_ns(snapshot.interval_ns)}"
    parts += [f"{snapshot.ticks_late} late", f"{snapshot.ticks_missed} missed"]
    return f"{', '.join(parts)}; method {snapshot.method}"


def _own_cost(snapshot: Snapshot) -> str:
    if not snapshot.observed_ns:
        return "unknown: nothing observed"
    return f"{format_percent(snapshot.cpu_ns / snapshot.observed_ns)} % of one core"


def _command(words: Sequence[str]) -> str:
    """Return a command on one line, and not too long a one."""
    line = printable(" ".join(words))
    return line if len(line) <= 60 else f"{line[:57]}..."


def _wrapped(sentence: str, indent: str) -> list[str]:
    lines, line = [], indent
    for word in sentence.split():
        if len(line) + 1 + len(word) > _WIDTH and line != indent:
            lines.append(line)
            line = indent
        line += word if line == indent else f" {word}"
    return [*lines, line]
