"""Stacks, as text: of a dump, and which functions held the GIL."""

from __future__ import annotations

from gilknocker._units import format_percent
from gilknocker.reports.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    _Frame: TypeAlias = tuple[str, str, int]
    _Counted: TypeAlias = tuple[str, Sequence[_Frame], int]  # a thread, its frames, how often found

__all__ = ["collapsed", "frame_words", "function_lines", "stack_lines"]

_FUNCTIONS_SHOWN = 10


def frame_words(frame: _Frame) -> str:
    """Return a frame as ``function (file:line)``; a line that is not known is left out."""
    function, file, line = frame
    return printable(f"{function} ({file}:{line})" if line > 0 else f"{function} ({file})")


def stack_lines(frames: Sequence[_Frame] | None, indent: str) -> Iterator[str]:
    """Yield a stack, the most recent call first, as faulthandler has it."""
    if frames is None:
        yield f"{indent}(it runs: its stack could not be read)"
    elif not frames:
        yield f"{indent}(no Python code)"
    for frame in reversed(frames or ()):
        yield indent + frame_words(frame)


def function_lines(stacks: Iterable[_Counted]) -> Iterator[str]:
    """Yield which functions held the GIL, by their share of the looks that found it held.

    A function is where the holder was itself, not what it called.
    """
    counts: dict[_Frame | None, int] = {}
    for _, frames, ticks in stacks:
        leaf = frames[-1] if frames else None
        counts[leaf] = counts.get(leaf, 0) + ticks
    total = sum(counts.values())
    named = sorted(
        ((ticks, frame) for frame, ticks in counts.items() if frame is not None),
        key=lambda row: (-row[0], row[1]),
    )
    for ticks, frame in named[:_FUNCTIONS_SHOWN]:
        yield f"{format_percent(ticks / total):>6} %  {frame_words(frame)}"
    rest = sum(ticks for ticks, _ in named[_FUNCTIONS_SHOWN:])
    if rest:
        yield f"{format_percent(rest / total):>6} %  in other places"
    if unknown := counts.get(None, 0):
        yield f"{format_percent(unknown / total):>6} %  unknown: it changed hands meanwhile"


def collapsed(stacks: Iterable[_Counted], interval_ns: int) -> str:
    """Return the stacks for flamegraph.pl or speedscope: a line each, weighted by µs held."""
    lines = []
    for thread, frames, ticks in stacks:
        words = [thread, *(map(frame_words, frames) if frames else ["unknown"])]
        stack = ";".join(word.replace(";", ",").replace("\n", " ") for word in words)
        lines.append(f"{stack} {max(1, round(ticks * interval_ns / 1000))}\n")
    return "".join(lines)
