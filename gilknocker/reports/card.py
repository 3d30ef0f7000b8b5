"""A snapshot as a card of HTML: what a notebook shows of one.

The sentences are those of :mod:`gilknocker.reports.words`, the figures too; the charts come from
:mod:`gilknocker.reports.svg`. Colours and size of the text are those of the page around it, so
that the card is readable in light and dark themes; from 300 pixels on it fits.

What shows the notebooks of others takes things away: JupyterLab of one that is not trusted,
nbconvert with ``sanitize_html``, which shows the source of what it does not know. So a notebook's
card has no element but such as all of them let pass, and all else is in attributes: styles, and
each chart as the background of an empty element. Without attributes it is text with its spaces.
"""

from __future__ import annotations

import re
from html import escape

from gilknocker._units import format_ns, format_percent
from gilknocker.reports import words
from gilknocker.reports.stack_lines import LEAST_SHARE, lines_by_cost
from gilknocker.reports.svg import ACCENT, held_bar, percent_width, wait_distribution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilknocker.snapshot.value import Snapshot

__all__ = [
    "STYLE",
    "card",
    "comparison_card",
    "div",
    "lines_part",
    "notebook_card",
    "one_line",
    "self_contained",
    "shortened",
]

SHOWN_HOLDERS = 6
_FIGURES = (50, 90, 99)
_NAME = 24  # letters
_PLACE = 40

_STYLES = {
    "gilknocker": (
        "max-width:34rem;padding:.7em .9em;border:1px solid rgba(128,128,128,.45);"
        "border-radius:6px;font:14px/1.45 system-ui,sans-serif;color:inherit;box-sizing:border-box"
    ),
    "gk-wide": "max-width:46rem;overflow-x:auto",
    "gk-head": "display:flex;justify-content:space-between;flex-wrap:wrap;column-gap:1em",
    "gk-part": "margin-top:.7em",
    "gk-soft": "opacity:.75",
    "gk-says": f"margin-top:.5em;padding-left:.7em;border-left:3px solid {ACCENT}",
    "gk-note": "margin-top:.4em;padding-left:.7em;border-left:3px solid #c98a1b",
    "gk-small": "font-size:12px;margin-top:.3em",
    "gk-figures": "display:flex;flex-wrap:wrap;gap:.1em 1.6em;margin:.2em 0 .4em",
    "gk-figure": "font-size:17px;font-weight:600;font-variant-numeric:tabular-nums",
    "gk-row": "display:flex;align-items:center;gap:.7em",
    "gk-name": "flex:0 0 12.5em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap",
    "gk-place": (
        "flex:0 1 22em;min-width:0;overflow:hidden;text-overflow:ellipsis;white-space:nowrap"
    ),
    "gk-track": "flex:1 1 5em;height:9px;border-radius:3px;background:rgba(128,128,128,.2)",
    "gk-fill": f"display:block;height:100%;border-radius:3px;background:{ACCENT}",
    "gk-share": "flex:0 0 4em;text-align:right;font-variant-numeric:tabular-nums",
    "gk-table": "display:table;margin:.5em 0;font-size:13px",
    "gk-line": "display:table-row",
    "gk-cell": (
        "display:table-cell;padding:.15em .9em .15em 0;text-align:left;vertical-align:top;"
        "font-variant-numeric:tabular-nums;border-bottom:1px solid rgba(128,128,128,.3)"
    ),
    "gk-brief": "white-space:nowrap",
    "gk-rest": "width:99%",
    "gk-pieces": "display:flex;flex-wrap:wrap;column-gap:1em",
    "gk-piece": "flex:0 1 17em",
}
STYLE = ".gilknocker svg{display:block;height:auto;overflow:visible}\n" + "".join(
    f".{name}{{{style}}}\n" for name, style in _STYLES.items()
)
# Of the text in a chart that does not know the page: 4.5 : 1 against white, 4.2 : 1 against #111.
_INK = "#767676"


def card(
    snapshot: Snapshot,
    *,
    children_cpu_ns: int = 0,
    children: int = 0,
    notes: Sequence[str] = (),
) -> str:
    """Return a fragment of HTML for a page that has `STYLE`: a ``div`` with everything in it.

    The time it takes does not depend on the number of waits: at most a few milliseconds.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured.
    children_cpu_ns : int, default 0
        The CPU time of child processes meanwhile, ns.
    children : int, default 0
        How many of them there were at least, as far as known.
    notes : sequence of str, optional
        What else is to be said of it.
    """
    held, *others = words.facts(snapshot, with_lines=False)
    caveats = [*words.caveats(snapshot, children_cpu_ns, children), *notes]
    parts = [
        *_held(snapshot, *held),
        *(div("gk-note", f"Note: {caveat}") for caveat in caveats),
        *_waits(snapshot),
        *_held_by(snapshot),
        *lines_part(snapshot),
        *_details(others),
    ]
    return f'<div class="gilknocker">{"".join(parts)}</div>'


def notebook_card(
    snapshot: Snapshot, *, children_cpu_ns: int = 0, notes: Sequence[str] = ()
) -> str:
    """Return the same for a notebook: without any element that some of them take away."""
    return self_contained(card(snapshot, children_cpu_ns=children_cpu_ns, notes=notes))


def self_contained(fragment: str) -> str:
    """Return a fragment for a page that has no `STYLE`, and lets no ``<svg>`` pass."""
    fragment = re.sub(r"<svg .*?</svg>", _as_background, fragment, flags=re.DOTALL)
    return re.sub(r'class="([^"]*)"(?: style="([^"]*)")?', _with_style, fragment)


def _with_style(match: re.Match[str]) -> str:
    styles = [_STYLES[name] for name in match[1].split()]
    return f'class="{match[1]}" style="{";".join(filter(None, (*styles, match[2])))}"'


def _as_background(match: re.Match[str]) -> str:
    """Return an empty element with a chart as its background: it needs no ``<svg>`` in the page."""
    from urllib.parse import quote  # here, for it takes its time to import

    head, _, rest = match[0].partition(">")
    attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', head))
    width, height = attributes["viewBox"].split()[2:]
    named = re.sub(r' (role|aria-label|width)="[^"]*"', "", head)
    drawing = re.sub(r"<title>.*?</title>", "", f"{named}>{rest}").replace("currentColor", _INK)
    return (
        f'<div role="img" aria-label="{attributes["aria-label"]}" style="aspect-ratio:{width}/'
        f"{height};background:url('data:image/svg+xml,{quote(drawing, safe=' /:=,;()')}') "
        'center/100% no-repeat"></div>'
    )


def comparison_card(
    heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """Return a comparison as a fragment of HTML, for a notebook.

    Parameters
    ----------
    heads : sequence of str
        What is compared.
    rows : sequence of sequences of str
        The table, its heading first: a label, two figures, their difference, what that means.
    notes : sequence of str
        What to know of it.
    """
    (_, *columns, last, _), *others = rows
    table = [_row(["", *map(_bold, columns), _bold(last)])]
    for label, *figures, difference, meaning in others:
        # Side by side where there is room, else one below the other.
        pieces = " ".join(
            f'<span class="gk-piece">{escape(piece)}</span>' for piece in (difference, meaning)
        )
        rest = f'<span class="gk-pieces">{pieces}</span>'
        table.append(_row([_bold(label), *map(escape, figures), rest]))
    parts = [
        *(div("gk-head", head) for head in heads),
        f'<div class="gk-table">{"".join(table)}</div>',
        *(div("gk-small gk-soft", note) for note in notes),
    ]
    return self_contained(f'<div class="gilknocker gk-wide">{"".join(parts)}</div>')


def _row(cells: Sequence[str]) -> str:
    """Return a row of a table, of cells of HTML.

    No ``<table>``: bleach puts a ``<tbody>`` into it, and shows that as text.
    """
    classes = ["gk-cell gk-brief"] * (len(cells) - 1) + ["gk-cell gk-rest"]
    parts = (
        f'<span class="{name}">{cell}</span> ' for name, cell in zip(classes, cells, strict=True)
    )
    return f'<div class="gk-line">{"".join(parts)}</div>'


def _bold(text: str) -> str:
    return f"<b>{escape(text)}</b>"


def one_line(text: str) -> str:
    """Return text of others as :func:`gilknocker.reports.words.printable` does, and escaped."""
    return escape(words.printable(text))


def _held(snapshot: Snapshot, label: str, figures: str) -> Iterable[str]:
    yield (
        f'<div class="gk-head"><span><b>{escape(label)}</b> {escape(figures)}</span> '
        f'<span class="gk-soft">in {format_ns(snapshot.observed_ns, digits=3)}</span></div>'
    )
    yield held_bar(snapshot.held_fraction, snapshot.held_fraction_interval, f"{label} {figures}")
    yield div("gk-says", words.interpretation(snapshot))


def _waits(snapshot: Snapshot) -> Iterable[str]:
    if not snapshot.knocks:
        return
    heading = (
        "What threads waited for the GIL"
        if snapshot.method == "trace"
        else "What a thread would have waited for the GIL"
    )
    yield f'<div class="gk-part"><b>{heading}</b></div><div class="gk-figures">'
    marks = [(f"p{p}", snapshot.percentile(p)) for p in _FIGURES]
    marks.append(("max", float(snapshot.wait_max_ns)))
    listed = []
    for name, ns in marks:
        at_most = "" if name != "max" or snapshot.wait_max_exact else "≤ "
        yield (
            f'<span><b class="gk-figure">{at_most}{format_ns(ns)}</b> '
            f'<span class="gk-soft">{name}</span></span> '
        )
        listed.append(f"{name} {at_most}{format_ns(ns)}")
    yield "</div>"
    label = f"Distribution of {snapshot.knocks} waits: {', '.join(listed)}"
    yield wait_distribution(snapshot, marks, label)
    switch = snapshot.switch_interval_ns
    key = "Logarithmic axis of time; a bar is as high as it counts waits."
    if switch:
        key += (
            f" Dashed: {format_ns(switch)}, the switch interval, after which a thread that waits "
            "makes Python code give up the GIL."
        )
    yield div("gk-small gk-soft", key)


def _held_by(snapshot: Snapshot) -> Iterable[str]:
    holders = snapshot.holders
    if not holders:
        return
    yield '<div class="gk-part"><b>Held by</b></div>'
    for name, native_id, share in holders[:SHOWN_HOLDERS]:
        whole = one_line(name)
        yield (
            f'<div class="gk-row"><span class="gk-name" title="{whole} ({native_id})">'
            f'{one_line(shortened(name))}</span> <span class="gk-track">'
            f'<i class="gk-fill" style="width:{percent_width(share)}"></i></span> '
            f'<span class="gk-share">{format_percent(share)} %</span></div>'
        )
    if rest := holders[SHOWN_HOLDERS:]:
        share = sum(holder[2] for holder in rest)
        yield div("gk-small gk-soft", f"and {len(rest)} more, {format_percent(share)} %")


def lines_part(snapshot: Snapshot) -> Iterable[str]:
    """Yield the lines by which the GIL was held, with bars; nothing where that is not known."""
    lines, unknown = lines_by_cost(snapshot)
    if not lines:
        return
    yield '<div class="gk-part"><b>Lines that held it</b></div>'
    for line in lines:
        whole = one_line(f"{line.file}:{line.line} {line.function}")
        yield (
            f'<div class="gk-row"><span class="gk-place" title="{whole}">'
            f'{one_line(shortened(line.place, _PLACE))}</span> <span class="gk-track">'
            f'<i class="gk-fill" style="width:{percent_width(line.share)}"></i></span> '
            f'<span class="gk-share">{format_percent(line.share)} %</span></div>'
        )
        if line.remarks:
            yield div("gk-small gk-soft", "; ".join(line.remarks))
    if unknown >= LEAST_SHARE:
        yield div("gk-small gk-soft", f"{format_percent(unknown)} % unknown")


def shortened(name: str, most: int = _NAME) -> str:
    """Return a name with what is too long cut out of its middle: they differ at the end."""
    return name if len(name) <= most else f"{name[: most // 2]}…{name[-most // 2 + 1 :]}"


def _details(facts: Sequence[tuple[str, str]]) -> Iterable[str]:
    yield '<div class="gk-part gk-small"><div><b>How it was measured</b></div>'
    for label, figures in facts:
        yield f"<div><b>{escape(label)}</b> {escape(figures)}</div>"
    yield "</div>"


def div(classes: str, text: str) -> str:
    """Return a ``div`` of text."""
    return f'<div class="{classes}">{escape(text)}</div>'
