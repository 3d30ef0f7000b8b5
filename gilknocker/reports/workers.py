"""Processes that share one work, such as a cluster's workers, side by side.

A mean hides one worker whose GIL is held all the time. So each view has the least, the median and
the most, and names the worker of the most.
"""

from __future__ import annotations

import statistics
from html import escape

from gilknocker._units import format_count, format_ns, format_percent, printable
from gilknocker.reports.card import card, div, lines_part, one_line, self_contained, shortened
from gilknocker.reports.page import document, section
from gilknocker.reports.svg import percent_width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeAlias

    from gilknocker.snapshot.value import Snapshot

    _Workers: TypeAlias = Mapping[str, Snapshot]

__all__ = ["held", "sentence", "text", "workers_card", "workers_page"]

MOST_ROWS = 12  # of a card
_NAME = 30  # letters
_BUSY = 0.9  # a GIL that is held for so much of the time has no room left
_PICKS: tuple[tuple[str, Callable[[Iterable[float]], float]], ...] = (
    ("least", min),
    ("median", statistics.median),
    ("most", max),
)


def held(workers: _Workers) -> dict[str, float]:
    """Return the held fraction of each worker of which it is known, largest first."""
    found = {
        name: fraction
        for name, one in workers.items()
        if (fraction := one.held_fraction) is not None and fraction == fraction
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def text(workers: _Workers) -> str:
    """Return a table by name, then least, median and most of each column."""
    if not workers:
        return "no workers"
    columns = (
        held(workers),
        _waits(workers, lambda one: one.percentile(99)),
        _waits(workers, lambda one: float(one.wait_max_ns)),
    )
    rows = [(printable(name), [column.get(name) for column in columns]) for name in sorted(workers)]
    rows += [
        (label, [pick(column.values()) if column else None for column in columns])
        for label, pick in _PICKS
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'worker':{width}}  {'held':>7}  {'wait p99':>9}  {'wait max':>9}"]
    for name, (share, *waits) in rows:
        figures = "-" if share is None else f"{format_percent(share)}%"
        times = ("-" if ns is None else format_ns(ns) for ns in waits)
        lines.append(f"{name:{width}}  {figures:>7}  " + "  ".join(f"{ns:>9}" for ns in times))
    return "\n".join(lines)


def sentence(workers: _Workers) -> str:
    """Return what there is to say of how the workers differ."""
    fractions = held(workers)
    if not fractions:
        return "Nothing is known of how long the GIL of any worker was held."
    values = list(fractions.values())
    middle = statistics.median(values)
    busy = [name for name, fraction in fractions.items() if fraction >= _BUSY]
    first = next(iter(fractions))
    if middle < values[0] / 2 and values[0] - middle > 0.1:  # one or some are unlike the rest
        others = f"the median worker's {format_percent(middle)} %"
        if len(busy) > 1:
            return (
                f"Not all workers are alike: of {len(busy)} of {len(values)}, the GIL was held "
                f"for {format_percent(_BUSY)} % of the time or more, {others}."
            )
        return (
            "One worker is unlike the others: the GIL of "
            f"{printable(first)} was held {format_percent(values[0])} % of the time, {others}."
        )
    return (
        f"The workers are much alike: their GILs were held {format_percent(values[-1])} % to "
        f"{format_percent(values[0])} % of the time."
    )


def workers_card(workers: _Workers, merged: Snapshot | None) -> str:
    """Return a card of HTML for a notebook.

    Parameters
    ----------
    workers : mapping of str to Snapshot
        Each by its name.
    merged : Snapshot or None
        All of them as one; None if there are none.
    """
    if merged is None:
        return self_contained(f'<div class="gilknocker">{div("gk-head", "no workers")}</div>')
    return self_contained(_card(workers, merged))


def workers_page(workers: _Workers, merged: Snapshot, title: str) -> str:
    """Return a file of HTML that needs nothing else: the card, and that of the busiest worker.

    Not one of all together, whose sentences would be of a mean.

    Parameters
    ----------
    workers, merged
        As of `workers_card`.
    title : str
        Its heading; unescaped.
    """
    lines = "\n".join(map(one_line, text(workers).splitlines()))
    busiest = next(iter(held(workers)), None)
    beside = "" if busiest is None else _most(busiest, workers[busiest])
    body = (
        f"<main><div>{_card(workers, merged)}</div>\n<div>{beside}</div></main>\n"
        f"{section('Workers', f'<pre>{lines}</pre>')}"
    )
    return document(one_line(title), body, merged.start_unix_ns)


def _most(name: str, one: Snapshot) -> str:
    return f"<h2>The GIL that was held most: {one_line(name)}</h2>{card(one)}"


def _card(workers: _Workers, merged: Snapshot) -> str:
    parts = [*_head(workers, merged), *_rows(workers), *lines_part(merged)]
    return f'<div class="gilknocker">{"".join(parts)}</div>'


def _head(workers: _Workers, merged: Snapshot) -> Iterable[str]:
    seconds = max(one.observed_ns for one in workers.values())
    yield (
        f'<div class="gk-head"><span><b>GIL held</b> of {format_count(len(workers), "worker")}'
        f'</span> <span class="gk-soft">in {format_ns(seconds, digits=3)}</span></div>'
    )
    fractions = held(workers).values()
    yield '<div class="gk-figures">'
    for label, pick in _PICKS if fractions else ():
        yield (
            f'<span><b class="gk-figure">{format_percent(pick(fractions))} %</b> '
            f'<span class="gk-soft">{label}</span></span> '
        )
    yield "</div>"
    yield div("gk-says", sentence(workers))
    if merged.knocks:
        waits = f"p99 {format_ns(merged.percentile(99))}, max {format_ns(merged.wait_max_ns)}"
        yield div("gk-small", f"A thread would have waited for it, over all workers: {waits}.")


def _rows(workers: _Workers) -> Iterable[str]:
    fractions = held(workers)
    yield '<div class="gk-part"><b>By worker</b></div>'
    for name, fraction in list(fractions.items())[:MOST_ROWS]:
        yield (
            f'<div class="gk-row"><span class="gk-name" title="{one_line(name)}">'
            f'{one_line(shortened(name, _NAME))}</span> <span class="gk-track">'
            f'<i class="gk-fill" style="width:{percent_width(fraction)}"></i></span> '
            f'<span class="gk-share">{escape(format_percent(fraction))} %</span></div>'
        )
    if (rest := len(fractions) - MOST_ROWS) > 0:
        yield div("gk-small gk-soft", f"and {rest} more, with less")
    if unknown := len(workers) - len(fractions):
        yield div("gk-small gk-soft", f"of {format_count(unknown, 'worker')} nothing is known")


def _waits(workers: _Workers, of: Callable[[Snapshot], float]) -> dict[str, float]:
    return {name: of(one) for name, one in workers.items() if one.knocks}
