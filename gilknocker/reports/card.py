"""A snapshot as a card of HTML: what a notebook shows of one.

The sentences are those of :mod:`gilknocker.reports.words`, the figures too; the charts come from
:mod:`gilknocker.reports.svg`. Colours and size of the text are those of the page around it, so
that the card is readable in light and dark themes; from 300 pixels on it fits.
"""

from __future__ import annotations

from html import escape

from gilknocker._units import format_ns, format_percent
from gilknocker.reports import words
from gilknocker.reports.svg import ACCENT, held_bar, percent_width, wait_distribution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilknocker.snapshot.value import Snapshot

__all__ = ["STYLE", "card", "comparison_card", "one_line"]

SHOWN_HOLDERS = 6
_FIGURES = (50, 90, 99)
_NAME = 24  # letters

STYLE = f"""\
.gilknocker{{max-width:34rem;padding:.7em .9em;border:1px solid rgba(128,128,128,.45);
border-radius:6px;font:14px/1.45 system-ui,sans-serif;color:inherit;box-sizing:border-box}}
.gilknocker svg{{display:block;height:auto;overflow:visible}}
.gilknocker .gk-head{{display:flex;justify-content:space-between;flex-wrap:wrap;column-gap:1em}}
.gilknocker .gk-part{{margin-top:.7em}}
.gilknocker .gk-soft{{opacity:.75}}
.gilknocker .gk-says{{margin-top:.5em;padding-left:.7em;border-left:3px solid {ACCENT}}}
.gilknocker .gk-note{{margin-top:.4em;padding-left:.7em;border-left:3px solid #c98a1b}}
.gilknocker .gk-small{{font-size:12px;margin-top:.3em}}
.gilknocker .gk-figures{{display:flex;flex-wrap:wrap;gap:.1em 1.6em;margin:.2em 0 .4em}}
.gilknocker .gk-figures b{{font-size:17px;font-weight:600;font-variant-numeric:tabular-nums}}
.gilknocker .gk-row{{display:flex;align-items:center;gap:.7em}}
.gilknocker .gk-name{{flex:0 0 12.5em;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}}
.gilknocker .gk-track{{flex:1 1 5em;height:9px;border-radius:3px;background:rgba(128,128,128,.2)}}
.gilknocker .gk-track i{{display:block;height:100%;border-radius:3px;background:{ACCENT}}}
.gilknocker .gk-share{{flex:0 0 4em;text-align:right;font-variant-numeric:tabular-nums}}
.gilknocker.gk-wide{{max-width:46rem;overflow-x:auto}}
.gilknocker table{{border-collapse:collapse;table-layout:auto;margin:.5em 0;
font-size:13px;color:inherit}}
.gilknocker table :is(td,th){{padding:.15em .9em .15em 0;text-align:left!important;
vertical-align:top;background:none;font-variant-numeric:tabular-nums}}
.gilknocker table :is(th,td:nth-child(-n+3)){{white-space:nowrap}}
.gilknocker .gk-pieces{{display:flex;flex-wrap:wrap;column-gap:1em}}
.gilknocker .gk-pieces span{{flex:0 1 17em}}
.gilknocker .gk-rest{{width:99%}}
.gilknocker tr+tr{{border-top:1px solid rgba(128,128,128,.3)}}
.gilknocker details{{margin-top:.7em}}
.gilknocker summary{{cursor:pointer}}
"""


def card(snapshot: Snapshot, *, style: bool = True, children_cpu_ns: int = 0) -> str:
    """Return a fragment of HTML: a ``div`` with everything in it.

    The time it takes does not depend on the number of waits: at most a few milliseconds.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured.
    style : bool, default True
        Whether it has its ``<style>`` with it; else the page needs `STYLE`.
    children_cpu_ns : int, default 0
        The CPU time of child processes meanwhile, ns.
    """
    held, *others = words.facts(snapshot)
    caveats = words.caveats(snapshot, children_cpu_ns)
    parts = [
        f"<style>{STYLE}</style>" if style else "",
        *_held(snapshot, *held),
        *(_div("gk-note", f"Note: {caveat}") for caveat in caveats),
        *_waits(snapshot),
        *_held_by(snapshot),
        *_details(others),
    ]
    return f'<div class="gilknocker">{"".join(parts)}</div>'


def comparison_card(
    heads: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str]
) -> str:
    """Return a comparison as a fragment of HTML.

    Parameters
    ----------
    heads : sequence of str
        What is compared.
    rows : sequence of sequences of str
        The table, its heading first: a label, two figures, their difference, what that means.
    notes : sequence of str
        What to know of it.
    """
    parts = [f"<style>{STYLE}</style>", *(_div("gk-head", head) for head in heads), "<table>"]
    (_, *columns, last, _), *others = rows
    parts += ["<tr><td></td>", *(f'<th scope="col">{escape(c)}</th>' for c in (*columns, last))]
    for label, *figures, difference, meaning in others:
        parts.append(f'</tr><tr><th scope="row">{escape(label)}</th>')
        parts += [f"<td>{escape(figure)}</td>" for figure in figures]
        # Side by side where there is room, else one below the other.
        pieces = " ".join(f"<span>{escape(piece)}</span>" for piece in (difference, meaning))
        parts.append(f'<td class="gk-rest"><div class="gk-pieces">{pieces}</div></td>')
    parts.append("</tr></table>")
    parts += [_div("gk-small gk-soft", note) for note in notes]
    return f'<div class="gilknocker gk-wide">{"".join(parts)}</div>'


def one_line(text: str) -> str:
    """Return text of others as :func:`gilknocker.reports.words.printable` does, and escaped."""
    return escape(words.printable(text))


def _held(snapshot: Snapshot, label: str, figures: str) -> Iterable[str]:
    yield (
        f'<div class="gk-head"><span><b>{escape(label)}</b> {escape(figures)}</span>'
        f'<span class="gk-soft">in {format_ns(snapshot.observed_ns, digits=3)}</span></div>'
    )
    yield held_bar(snapshot.held_fraction, snapshot.held_fraction_interval, f"{label} {figures}")
    yield _div("gk-says", words.interpretation(snapshot))


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
        yield f'<span><b>{at_most}{format_ns(ns)}</b> <span class="gk-soft">{name}</span></span>'
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
    yield _div("gk-small gk-soft", key)


def _held_by(snapshot: Snapshot) -> Iterable[str]:
    holders = snapshot.holders
    if not holders:
        return
    yield '<div class="gk-part"><b>Held by</b></div>'
    for name, native_id, share in holders[:SHOWN_HOLDERS]:
        whole = one_line(name)
        yield (
            f'<div class="gk-row"><span class="gk-name" title="{whole} ({native_id})">'
            f'{one_line(_shortened(name))}</span><span class="gk-track">'
            f'<i style="width:{percent_width(share)}"></i></span>'
            f'<span class="gk-share">{format_percent(share)} %</span></div>'
        )
    if rest := holders[SHOWN_HOLDERS:]:
        share = sum(holder[2] for holder in rest)
        yield _div("gk-small gk-soft", f"and {len(rest)} more, {format_percent(share)} %")


def _shortened(name: str) -> str:
    """Return a name with what is too long cut out of its middle: threads differ at the end."""
    return name if len(name) <= _NAME else f"{name[: _NAME // 2]}…{name[-_NAME // 2 + 1 :]}"


def _details(facts: Sequence[tuple[str, str]]) -> Iterable[str]:
    yield '<details class="gk-small"><summary>How it was measured</summary>'
    for label, figures in facts:
        yield f"<div><b>{escape(label)}</b> {escape(figures)}</div>"
    yield "</details>"


def _div(classes: str, text: str) -> str:
    return f'<div class="{classes}">{escape(text)}</div>'
