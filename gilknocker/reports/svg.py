"""Charts of a snapshot as inline SVG: no dependency, readable on a light and on a dark page.

Text and lines have the colour of the text around them, and fills one that differs enough from white
and from black. A chart is drawn 400 units wide and scales with what it is put into; what it
shows is said in words by its label, for those who do not see it.
"""

from __future__ import annotations

import math
from html import escape

from gilknocker._units import format_ns, format_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilknocker.snapshot.value import Snapshot

__all__ = ["ACCENT", "held_bar", "wait_distribution", "wait_timeline"]

ACCENT = "#3a86d0"  # 3.8 : 1 against white, 4.9 : 1 against #111
WIDTH = 400

_LEFT = 4.0
_RIGHT = 4.0
_LETTER = 6.2  # about as wide is a letter of 11 units
_ROW = 13.0
_BARS = 72.0  # the height of the highest bar
_LEAST_BAR = 2.0  # one wait among a million is to be seen
_AXIS = 16.0
_PER_DECADE = 10  # bars
_LEAST_NS = 10  # where the axis begins at the latest: nothing waits less

_TIMELINE_LEFT = 44.0
_TIMELINE_HEIGHT = 130.0
_DOT = 2.0  # what lies within so many units is one dot


def held_bar(fraction: float | None, interval: tuple[float, float] | None, label: str) -> str:
    """Return a bar from 0 to 100 %, filled to `fraction`, with a whisker over its interval.

    Parameters
    ----------
    fraction : float or None
        0 to 1; NaN or None leave the bar empty.
    interval : (float, float) or None
        Its confidence interval.
    label : str
        What the bar says, in words; unescaped.
    """
    parts = [f'<rect y="2" width="{WIDTH}" height="12" rx="3" fill="currentColor" opacity="0.14"/>']
    if fraction is not None and interval is not None and not math.isnan(fraction):
        low, high = (WIDTH * end for end in interval)
        filled = WIDTH * fraction
        parts += [
            f'<rect y="2" width="{filled:.1f}" height="12" rx="3" fill="{ACCENT}"/>',
            f'<path d="M{low:.1f} 4v8M{high:.1f} 4v8M{low:.1f} 8H{high:.1f}" fill="none" '
            'stroke="currentColor" stroke-width="1.5"/>',
        ]
    return _svg(16, label, parts)


def wait_distribution(snapshot: Snapshot, marks: Sequence[tuple[str, float]], label: str) -> str:
    """Return the waits on a logarithmic axis: a bar for each tenth of a decade.

    It is drawn of the histogram, in a time that does not depend on the number of waits. A bar is as
    high as it counts waits, but never too low to be seen.

    Parameters
    ----------
    snapshot : Snapshot
        With at least one knock.
    marks : sequence of (str, float)
        Names of waits, ns, that are marked: percentiles, ascending.
    label : str
        What the chart says, in words; unescaped.
    """
    bars = _bars(snapshot)
    switch = snapshot.switch_interval_ns
    ends = [min(bars), max(bars)]
    if switch:
        ends.append(_bar_of(switch))
    first, last = min(ends) // _PER_DECADE, max(ends) // _PER_DECADE + 1
    axis = _Axis(first, last, _LEFT, WIDTH - _RIGHT)
    labels, top = _mark_parts(marks, axis)
    floor = top + _BARS
    lines = "".join(f"M{axis.place(max(ns, _LEAST_NS)):.1f} {top}V{floor}" for _, ns in marks)
    parts = [
        *_bar_parts(bars, axis, floor),
        f'<path d="{lines}" stroke="currentColor" opacity="0.45" fill="none"/>',
        *labels,
        *_switch_parts(switch, axis, top, floor),
        *_axis_parts(axis, floor),
    ]
    return _svg(floor + _AXIS, label, parts)


def wait_timeline(waits: Sequence[tuple[float, int]], seconds: float, label: str) -> str:
    """Return a dot for each wait, over the time at which it began.

    Parameters
    ----------
    waits : sequence of (float, int)
        When it began, s since the start, and how long it was, ns; at least one.
    seconds : float
        Where the axis of time ends.
    label : str
        What the chart says, in words; unescaped.
    """
    longest, shortest = (max(end(wait for _, wait in waits), _LEAST_NS) for end in (max, min))
    first, last = math.floor(math.log10(shortest)), math.floor(math.log10(longest)) + 1
    floor = _TIMELINE_HEIGHT
    heights = _Axis(first, last, floor, 6.0)
    across = (WIDTH - _RIGHT - _TIMELINE_LEFT) / (seconds or 1.0)
    dots = {
        (
            round((_TIMELINE_LEFT + across * begin) / _DOT),
            round(heights.place(max(wait, _LEAST_NS)) / _DOT),
        )
        for begin, wait in waits
    }
    path = "".join(f"M{_DOT * x:g} {_DOT * y:g}h0" for x, y in sorted(dots))
    parts = [
        f'<path d="{path}" stroke="{ACCENT}" stroke-width="3" stroke-linecap="round" fill="none"/>',
        f'<path d="M{_TIMELINE_LEFT} {floor}H{WIDTH}" stroke="currentColor" opacity="0.5"/>',
    ]
    for decade in range(first, last + 1):
        y = heights.place(10.0**decade)
        parts.append(
            f'<path d="M{_TIMELINE_LEFT} {y:.1f}H{WIDTH}" stroke="currentColor" opacity="0.12"/>'
        )
        parts.append(_text(_TIMELINE_LEFT - 4, y + 4, format_ns(10.0**decade, 1), "end"))
    for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        x = _TIMELINE_LEFT + across * seconds * share
        parts.append(_text(x, floor + 13, f"{seconds * share:.3g} s", anchor))
    return _svg(floor + _AXIS, label, parts)


class _Axis:
    """A logarithmic axis over whole decades of nanoseconds.

    Attributes
    ----------
    first, last : int
        The powers of ten at its ends.
    """

    def __init__(self, first: int, last: int, start: float, end: float) -> None:
        self.first, self.last = first, last
        self._start, self._step = start, (end - start) / (last - first)

    def place(self, ns: float) -> float:
        """Return where a wait is."""
        return self._start + self._step * (math.log10(ns) - self.first)


def _bar_of(ns: float) -> int:
    return math.floor(math.log10(max(ns, _LEAST_NS)) * _PER_DECADE)


def _bars(snapshot: Snapshot) -> dict[int, int]:
    """Return how many waits each bar counts: a bucket goes where its middle is."""
    bars: dict[int, int] = {}
    bar, end = 0, -1.0  # no logarithm of each bucket: there may be thousands
    for lower, upper, count in snapshot.histogram:
        middle = (lower + upper - 1) / 2
        if middle >= end:
            bar = _bar_of(middle)
            end = 10 ** ((bar + 1) / _PER_DECADE)
        bars[bar] = bars.get(bar, 0) + count
    return bars


def _bar_parts(bars: dict[int, int], axis: _Axis, floor: float) -> Iterable[str]:
    highest = max(bars.values())
    for bar, count in sorted(bars.items()):
        low, high = (10 ** (edge / _PER_DECADE) for edge in (bar, bar + 1))
        left, right = axis.place(low), axis.place(high)
        height = max(_BARS * count / highest, _LEAST_BAR)
        yield (
            f'<rect x="{left:.1f}" y="{floor - height:.1f}" width="{right - left - 0.6:.1f}" '
            f'height="{height:.1f}" fill="{ACCENT}"><title>{format_ns(low)} to {format_ns(high)}: '
            f"{count}</title></rect>"
        )


def _mark_parts(marks: Sequence[tuple[str, float]], axis: _Axis) -> tuple[list[str], float]:
    """Label percentiles, each in the lowest row where it overlaps none before it.

    Returns
    -------
    parts, top : list of str, float
        The labels, and where there is room below them.
    """
    ends: list[float] = []
    placed = []
    for text, ns in marks:
        width = _LETTER * len(text)
        left = min(max(axis.place(max(ns, _LEAST_NS)) - width / 2, 0), WIDTH - width)
        row = next((row for row, end in enumerate(ends) if left > end), len(ends))
        ends[row : row + 1] = [left + width + _LETTER]
        placed.append((left + width / 2, row, text))
    top = len(ends) * _ROW + 3
    return [_text(x, top - row * _ROW - 5, text, "middle") for x, row, text in placed], top


def _switch_parts(switch: int | None, axis: _Axis, top: float, floor: float) -> list[str]:
    if not switch:
        return []
    x = axis.place(max(switch, _LEAST_NS))
    return [
        f'<path d="M{x:.1f} {top}V{floor}" stroke="currentColor" stroke-width="1.5" '
        'stroke-dasharray="3 3" fill="none"/>'
    ]


def _axis_parts(axis: _Axis, floor: float) -> list[str]:
    ends = f"M0 {floor}H{WIDTH}"
    parts = [f'<path d="{ends}" stroke="currentColor" opacity="0.5" fill="none"/>']
    decades = axis.last - axis.first
    for decade in range(axis.first, axis.last + 1, 1 if decades <= 7 else 2):
        x = axis.place(10.0**decade)
        anchor = {axis.first: "start", axis.last: "end"}.get(decade, "middle")
        parts.append(_text(x, floor + 13, format_ns(10.0**decade, 1), anchor))
    return parts


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, label: str, parts: Iterable[str]) -> str:
    """Put parts together: with its label as a name for screen readers."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {WIDTH} {height:g}" width="100%" '
        'font-family="system-ui, sans-serif" font-size="11" fill="currentColor">'
        f"{''.join(parts)}</svg>"
    )


def percent_width(share: float) -> str:
    """Return a share as a CSS width."""
    return f"{format_percent(min(max(share, 0.0), 1.0))}%"
