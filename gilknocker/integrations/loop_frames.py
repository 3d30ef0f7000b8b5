"""What a loop's thread is doing, told from its frames: which callback, and on which line.

The innermost lines of all others come with it, and looks are kept as evenly as they were made.
"""

from __future__ import annotations

import asyncio.events
import asyncio.runners
import selectors
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["MOST_LOOKS", "Look", "Looks", "callback_of", "where"]

MOST_LOOKS = 512

# asyncio calls every callback from here.
_RUN = asyncio.events.Handle._run.__code__
_ASYNCIO_FOLDER = asyncio.events.__file__.rpartition("events.py")[0]


class Look:
    """Where the threads were at an instant."""

    def __init__(self, frames: dict[int, FrameType], loop: int) -> None:
        frame = frames.get(loop)
        self.callback = None if frame is None else callback_of(frame)
        self.lines = {ident: where(frame) for ident, frame in frames.items() if ident != loop}


class Looks:
    """Where the threads were while one tick was late: all of that time, by not too many looks.

    Only shares are told of them. So where there are too many each second one goes, and from then on
    half as many are made: what is left is as evenly spread, however long a callback blocks.

    Attributes
    ----------
    kept : list of Look
        The looks, in order of time: fewer than `MOST_LOOKS`.
    """

    def __init__(self) -> None:
        self.kept: list[Look] = []
        self._turns = 0
        self._turns_per_look = 1

    def add(self, loop: int) -> None:
        """Look now, if it is the turn for it; `loop` is the ident of the loop's thread."""
        if self._turns % self._turns_per_look == 0:
            self.kept.append(Look(sys._current_frames(), loop))
            if len(self.kept) == MOST_LOOKS:
                del self.kept[1::2]
                self._turns_per_look *= 2
        self._turns += 1


def callback_of(frame: FrameType) -> str | None:
    """Return the callback that a loop is in, and its innermost line; None if it is in none.

    asyncio's callbacks are what ``Handle._run`` calls. uvloop has no frames of its own: what it
    calls stands on the frame that called ``run_forever``, which is asyncio's runner, or its own.
    """
    inner: FrameType | None = frame
    outer = None  # the callback, if its caller is the loop
    while inner is not None:
        if inner.f_code is _RUN:
            break
        if _runs_a_loop(inner):
            break
        outer, inner = inner, inner.f_back
    if inner is None or outer is None or _is_loop(frame):
        return None
    return f"{_name(outer)}, {where(frame)}"


def where(frame: FrameType) -> str:
    """Return function and line of a frame, as ``file:line function``."""
    file = "/".join(frame.f_code.co_filename.split("/")[-2:])
    return f"{file}:{frame.f_lineno} {_name(frame)}"


def _runs_a_loop(frame: FrameType) -> bool:
    """Whether it is a frame that called the loop: of asyncio or of uvloop."""
    file = frame.f_code.co_filename
    return file.startswith(_ASYNCIO_FOLDER) and frame.f_code.co_name in (
        "run",
        "run_forever",
        "run_until_complete",
        "_run_once",
    )


def _is_loop(frame: FrameType) -> bool:
    """Whether it waits for something to do."""
    return frame.f_code.co_filename == selectors.__file__


def _name(frame: FrameType) -> str:
    return getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
