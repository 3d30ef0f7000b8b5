"""Names of the program's threads, also of those that end before anybody asks for their names."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ThreadNames"]

# How many numbers of threads to remember names for.
_MOST = 20_000


class ThreadNames:
    """What threads that begin while this listens are called.

    A thread of :mod:`threading` tells itself its native id when it begins, by a private method
    that is wrapped while somebody listens (the way of memray, which wraps more of it). Where a
    Python has no such method, or somebody else replaced it meanwhile, only the names of threads
    that are there when one asks are known.

    Thread safety: each step is one operation of a dict or a list, guarded by the GIL.
    """

    def __init__(self) -> None:
        self._listeners = 0
        self._begun: dict[int, list[tuple[int, str]]] = {}  # by native id: when, and its name
        self._original: Callable[[threading.Thread], None] | None = None

    def listen(self) -> None:
        """Listen once more."""
        self._listeners += 1
        original = getattr(threading.Thread, "_set_native_id", None)
        if self._listeners > 1 or original is None:
            return

        def set_native_id(thread: threading.Thread) -> None:
            original(thread)
            self._note(thread)

        self._original, self._wrapper = original, set_native_id
        threading.Thread._set_native_id = set_native_id  # type: ignore[attr-defined]

    def leave(self) -> None:
        """Listen once less."""
        self._listeners -= 1
        if self._listeners or self._original is None:
            return
        if threading.Thread._set_native_id is self._wrapper:  # type: ignore[attr-defined]
            threading.Thread._set_native_id = self._original  # type: ignore[attr-defined]
        self._original = None
        self._begun.clear()

    def _note(self, thread: threading.Thread) -> None:
        if not self._listeners or thread.native_id is None:
            return  # the wrapper was kept by somebody
        if len(self._begun) >= _MOST:
            self._begun.pop(next(iter(self._begun)), None)
        self._begun.setdefault(thread.native_id, []).append((time.monotonic_ns(), thread.name))

    def name_of(self, native_id: int, first_seen_ns: int) -> str | None:
        """Return what the thread was called that had a number from some instant on.

        Parameters
        ----------
        native_id : int
            Its number; an earlier or later thread may have the same.
        first_seen_ns : int
            When it was first seen, ns of ``time.monotonic_ns``: before it was told its number.
        """
        for at, name in self._begun.get(native_id, ()):
            if at >= first_seen_ns:
                return name
        return None


def present() -> dict[int, str]:
    """Return the names of the threads that are there, by native id."""
    return {
        thread.native_id: thread.name
        for thread in threading.enumerate()
        if thread.native_id is not None
    }
