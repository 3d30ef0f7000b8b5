"""A report as one HTML file that needs nothing else: the card, the waits over time, the threads."""

from __future__ import annotations

import sys
import time

from gilknocker import __version__
from gilknocker._units import format_count, format_ns, format_percent
from gilknocker.reports.card import STYLE, card, one_line
from gilknocker.reports.svg import wait_timeline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilknocker.reports.processes import MeasuredProcess
    from gilknocker.reports.run import Run
    from gilknocker.snapshot.thread_times import ThreadTimes
    from gilknocker.snapshot.value import Snapshot

__all__ = ["document", "page", "section"]

MOST_ROWS = 200  # of a table: a service may have had ten thousand threads

# The system's colours, light or dark as the reader has it.
PAGE_STYLE = """\
:root{color-scheme:light dark}
body{margin:0 auto;max-width:72rem;padding:1rem;background:Canvas;color:CanvasText;
font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.25rem;margin:.2rem 0 1rem;overflow-wrap:anywhere}
h2{font-size:1rem;margin:0 0 .4rem}
main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr))}
main>*{min-width:0}
.gilknocker.gk-wide{max-width:none;margin-bottom:1rem}
main+.gilknocker{margin-top:1rem}
table{border-collapse:collapse;margin:.5em 0;font-size:13px}
:is(td,th){padding:.15em .9em .15em 0;text-align:left;vertical-align:top;
font-variant-numeric:tabular-nums}
:is(th,td:nth-child(-n+3)){white-space:nowrap}
tr+tr{border-top:1px solid rgba(128,128,128,.3)}
details{margin-top:.7em}
summary{cursor:pointer}
pre{overflow-x:auto;font-size:12px}
footer{margin-top:1rem;font-size:12px;opacity:.75}
"""


def page(run: Run) -> str:
    """Return the text of the file: each of the processes of a run gets a card."""
    snapshot, threads, text = run.snapshot, run.threads, run.text()
    shown = card(snapshot, children_cpu_ns=run.children_cpu_ns, children=run.children)
    title = one_line(text.partition("\n")[0])
    beside = [*_timeline(snapshot), *([] if threads else _holders(snapshot)), _as_text(text)]
    below = _threads(threads) if threads else ""  # it is wide
    below += _processes(run.processes) if run.processes else ""
    main = f"<main><div>{shown}</div>\n<div>{''.join(beside)}</div></main>\n{below}"
    return document(title, main, snapshot.start_unix_ns)


def document(title: str, body: str, start_unix_ns: int) -> str:
    """Return the text of a file around what is shown.

    Parameters
    ----------
    title, body : str
        HTML.
    start_unix_ns : int
        When what is shown began, on the clock of ``time.time_ns``.
    """
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start_unix_ns / 1e9))
    version = ".".join(map(str, sys.version_info[:3]))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{title}</title>\n<style>{STYLE}{PAGE_STYLE}</style></head>\n"
        f"<body><h1>{title}</h1>\n{body}"
        f"<footer>gilknocker {__version__}, Python {version}; started {started} UTC</footer>"
        "</body></html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """Return a part of a page, wide, of HTML."""
    return f'<section class="gilknocker gk-wide"><h2>{heading}</h2>{"".join(parts)}</section>\n'


def _timeline(snapshot: Snapshot) -> Iterable[str]:
    raw = snapshot._raw
    if raw is None or not len(raw):
        return
    # Not as arrays: this runs while the interpreter exits, and numpy may not be there yet.
    waits = [((asked - snapshot.start_ns) / 1e9, wait) for asked, wait in raw.pairs()]
    at, longest = max(waits, key=lambda pair: pair[1])
    label = f"{len(waits)} waits over time, the longest {format_ns(longest)} at {at:.2f} s"
    seconds = (snapshot.end_ns - snapshot.start_ns) / 1e9
    yield section(
        "Waits over time",
        wait_timeline(waits, seconds, label),
        f'<div class="gk-small gk-soft">{label}. Each dot is a wait, logarithmic.</div>',
    )


def _holders(snapshot: Snapshot) -> Iterable[str]:
    if snapshot.holders:
        rows = [
            (holder.name, str(holder.native_id), f"{format_percent(holder.share)} %")
            for holder in snapshot.holders
        ]
        yield section("Threads that held the GIL", _table(_HELD, rows))


def _threads(threads: Sequence[ThreadTimes]) -> str:
    busiest = sorted(threads, key=lambda one: (one.ours, -one.held_ns - one.waited_ns))
    return section("Threads", _table(_TRACED, [_traced_row(thread) for thread in busiest]))


def _processes(processes: Sequence[MeasuredProcess]) -> str:
    from gilknocker.reports.processes import HEADS, process_rows

    cards = [
        f"<div><h2>{one_line(one.name)} ({one.pid}), exit {one_line(one.end)}</h2>"
        f"{card(one.snapshot)}</div>"
        for one in processes[:MOST_ROWS]
        if one.snapshot is not None
    ]
    rows = section("Processes", _table(HEADS, process_rows(processes)))
    return f"{rows}<main>{''.join(cards)}</main>\n"


_HELD = ("thread", "native id", "share")
_TRACED = (
    "thread",
    "native id",
    "held",
    "waited",
    "neither",
    "times taken",
    "made to let go",
    "longest hold",
    "longest wait",
)


def _traced_row(thread: ThreadTimes) -> tuple[str, ...]:
    return (
        thread.name,
        str(thread.native_id),
        format_ns(thread.held_ns),
        format_ns(thread.waited_ns),
        format_ns(thread.released_ns),
        str(thread.acquisitions),
        str(thread.forced_releases),
        format_ns(thread.longest_hold_ns),
        format_ns(thread.longest_wait_ns),
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    parts = ["<tr>", *(f'<th scope="col">{head}</th>' for head in heads), "</tr>"]
    for name, *figures in rows[:MOST_ROWS]:
        cells = "".join(f"<td>{figure}</td>" for figure in figures)
        parts.append(f'<tr><th scope="row">{one_line(name)}</th>{cells}</tr>')
    table = f"<table>{''.join(parts)}</table>"
    if len(rows) <= MOST_ROWS:
        return table
    more = format_count(len(rows) - MOST_ROWS, "process" if heads[0] == "process" else "thread")
    return f'{table}<div class="gk-small gk-soft">and {more} more</div>'


def _as_text(text: str) -> str:
    lines = "\n".join(map(one_line, text.splitlines()))
    return f"<details><summary>The report as text</summary><pre>{lines}</pre></details>"
