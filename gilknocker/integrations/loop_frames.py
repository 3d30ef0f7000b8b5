"""What a loop's thread is doing, told from its frames: which callback, and on which line."""

from __future__ import annotations

import asyncio.events
import asyncio.runners
import selectors
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["callback_of", "where"]

# asyncio calls every callback from here.
_RUN = asyncio.events.Handle._run.__code__
_ASYNCIO_FOLDER = asyncio.events.__file__.rpartition("events.py")[0]


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
