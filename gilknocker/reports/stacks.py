"""Stacks, as text: of a dump, and at which places the GIL was held."""

from __future__ import annotations

from typing import NamedTuple

from gilknocker.reports.words import printable
from gilknocker.snapshot.stacks import NO_FRAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import TypeAlias

    _Frame: TypeAlias = tuple[str, str, int]
    # Frames, or None where they could not be read; and how often they were found.
    _Counted: TypeAlias = tuple[Sequence[_Frame] | None, int]

__all__ = [
    "ORDERS",
    "Place",
    "frame_words",
    "places",
    "short_frame_words",
    "short_path",
    "stack_lines",
]

# By what places are sorted, on request.
ORDERS = ("last second", "all", "name")
UNREADABLE = "unknown: it could not be read"


def frame_words(frame: _Frame) -> str:
    """Return a frame as ``function (file:line)``, without a line or file that there is not."""
    function, file, line = frame
    place = f" ({file}:{line})" if line > 0 else f" ({file})" if file else ""
    return printable(function + place)


def short_frame_words(frame: _Frame) -> str:
    """Return the same with no more of the path than the file and its folder."""
    function, file, line = frame
    return frame_words((function, short_path(file), line))


def short_path(path: str) -> str:
    """Return the last two parts of a path: the file and its folder."""
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def stack_lines(frames: Sequence[_Frame] | None, indent: str) -> Iterator[str]:
    """Yield a stack, the most recent call first, as faulthandler has it."""
    if frames is None:
        yield f"{indent}(it runs: its stack could not be read)"
    elif not frames:
        yield indent + frame_words(NO_FRAMES[0])
    for frame in reversed(frames or ()):
        yield indent + frame_words(frame)


class Place(NamedTuple):
    """Where the GIL was held: its share of the looks that found it held, now and of all."""

    name: str
    now: float
    total: float


def places(now: Iterable[_Counted], total: Iterable[_Counted]) -> list[Place]:
    """Return where the GIL was held, as the looks found it in a window and since the beginning.

    A place is where the holder was itself, not what it called.
    """
    shares, shares_of_all = _shares(now), _shares(total)
    return [Place(name, shares.get(name, 0.0), share) for name, share in shares_of_all.items()]


def _shares(stacks: Iterable[_Counted]) -> dict[str, float]:
    counts: dict[str, int] = {}
    for frames, ticks in stacks:
        name = frame_words((frames or NO_FRAMES)[-1]) if frames is not None else UNREADABLE
        counts[name] = counts.get(name, 0) + ticks
    whole = max(sum(counts.values()), 1)
    return {name: ticks / whole for name, ticks in counts.items()}
