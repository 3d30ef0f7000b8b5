"""What a loop's thread is doing, told from its frames: which callback, and on which line.

The innermost lines of all others come with it, and looks are kept as evenly as they were made.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import CodeType, FrameType

__all__ = ["MOST_LOOKS", "Look", "Looks", "where"]

MOST_LOOKS = 512


class Look:
    """Where the threads were at an instant."""

    def __init__(self, frames: dict[int, FrameType], loop: int) -> None:
        self.lines = {ident: where(frame) for ident, frame in frames.items()}
        self._loop = loop
        self._codes: list[CodeType] = []  # of the loop's thread, innermost first
        frame = frames.get(loop)
        while frame is not None:
            self._codes.append(frame.f_code)
            frame = frame.f_back

    def callback(self, caller: CodeType | None, tick: CodeType) -> str | None:
        """Return the callback that the loop was in, and its innermost line; None if in none.

        Parameters
        ----------
        caller : code or None
            Of the frame from which the loop calls: asyncio's ``Handle._run``. uvloop has no frames
            of its own: what it calls stands on whatever called ``run_until_complete``, if anything.
        tick : code
            Of a callback that is not counted.
        """
        if caller is None:
            inner = len(self._codes)
        elif caller in self._codes:
            inner = self._codes.index(caller)
        else:
            return None
        if inner == 0 or self._codes[inner - 1] is tick:
            return None
        return f"{_name(self._codes[inner - 1])}, {self.lines[self._loop]}"


class Looks:
    """Where the threads were while one tick was late: all of that time, by not too many looks.

    Only shares are told of them. So where there are too many each second one goes, and from then on
    half as many are made: what is left is as evenly spread, however long a callback blocks.

    Attributes
    ----------
    kept : list of Look
        The looks, in order of time: fewer than `MOST_LOOKS`.
    unseen_ns : int
        How much later than planned the first of them was made: nobody saw where the threads were
        before it.
    """

    def __init__(self) -> None:
        self.kept: list[Look] = []
        self.unseen_ns = 0
        self._turns = 0
        self._turns_per_look = 1

    def add(self, loop: int, late_ns: int) -> None:
        """Look now, if it is the turn for it.

        Parameters
        ----------
        loop : int
            Ident of the loop's thread.
        late_ns : int
            How much later this is than planned.
        """
        if self._turns == 0:
            self.unseen_ns = late_ns
        if self._turns % self._turns_per_look == 0:
            self.kept.append(Look(sys._current_frames(), loop))
            if len(self.kept) == MOST_LOOKS:
                del self.kept[1::2]
                self._turns_per_look *= 2
        self._turns += 1


def where(frame: FrameType) -> str:
    """Return function and line of a frame, as ``file:line function``."""
    file = "/".join(frame.f_code.co_filename.split("/")[-2:])
    return f"{file}:{frame.f_lineno} {_name(frame.f_code)}"


def _name(code: CodeType) -> str:
    return getattr(code, "co_qualname", code.co_name)
