"""Names of the program's threads, also of those that end before anybody asks for their names."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from gilknocker import _core
from gilknocker.meters.known_threads import ident_of, name_of_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


__all__ = ["ThreadNames"]

# How many numbers of threads to remember names for, before those that are wanted are taken out.
_MOST = 4_096
# How many of those that had one number: the system gives it out again.
_SAME = 4
# Python 3.10 does not tell the native ids of those that hold the GIL, only their serials.
_BY_SERIAL = sys.version_info < (3, 11)


class ThreadNames:
    """What threads that begin while somebody listens are called.

    A thread of :mod:`threading` tells itself its native id when it begins, by a private method
    that is wrapped while somebody listens (the way of memray, which wraps more of it). Where a
    Python has no such method, or somebody else replaced it meanwhile, only the names of threads
    that are there when one asks are known.

    Thread safety: `listen` and `rest` by one thread at a time; all else is one operation of a dict
    or a list at a time, guarded by the GIL.

    Parameters
    ----------
    listeners : collection
        Who listens; nobody if it is empty.
    before_forgetting : callable
        Called when names are soon to be forgotten: whoever wants some takes them now.
    """

    def __init__(
        self, listeners: Collection[object], before_forgetting: Callable[[], object] = lambda: None
    ) -> None:
        self._listeners = listeners
        self._before_forgetting = before_forgetting
        self._begun: dict[int, list[tuple[int, str]]] = {}  # by native id: when, and its name
        self._by_serial: dict[int, str] = {}
        self._original: Callable[[threading.Thread], None] | None = None

    def listen(self) -> None:
        """Note names from now on."""
        original = getattr(threading.Thread, "_set_native_id", None)
        if self._original is not None or original is None:
            return

        def set_native_id(thread: threading.Thread) -> None:
            original(thread)
            self._note(thread)

        self._original, self._wrapper = original, set_native_id
        threading.Thread._set_native_id = set_native_id  # type: ignore[attr-defined]

    def rest(self) -> None:
        """Note no more names, if nobody listens."""
        if self._listeners or self._original is None:
            return
        if threading.Thread._set_native_id is self._wrapper:  # type: ignore[attr-defined]
            threading.Thread._set_native_id = self._original  # type: ignore[attr-defined]
        self._original = None
        self._begun.clear()
        self._by_serial.clear()

    def _note(self, thread: threading.Thread) -> None:
        if not self._listeners:
            return  # the wrapper was kept by somebody, or a listener was dropped
        if ident_of(thread) != _core.thread_ident():
            return  # a greenlet: one of the many that its thread runs
        name = name_of_thread(thread)
        if not name:
            return
        self._keep(name)

    def _keep(self, name: str) -> None:
        """Note the name of the calling thread."""
        if max(len(self._begun), len(self._by_serial)) >= _MOST:
            self._make_room()
        if _BY_SERIAL:
            self._by_serial[_core.thread_serial()] = name
        begun = self._begun.setdefault(_core.native_id(), [])
        begun.append((_core.trace_ns(), name))
        del begun[:-_SAME]

    def _make_room(self) -> None:
        """Forget the older half, once it was said that it will be."""
        self._before_forgetting()
        for names in (self._begun, self._by_serial):
            for number in list(names)[: _MOST // 2]:
                names.pop(number, None)

    def name_of(self, native_id: int, first_seen_ns: int) -> str | None:
        """Return what the thread was called that had a number from some instant on.

        Parameters
        ----------
        native_id : int
            Its number; an earlier or later thread may have the same.
        first_seen_ns : int
            When it was first seen, ns on the traces' clock: before it was told its number.
        """
        for at, name in self._begun.get(native_id, ()):
            if at >= first_seen_ns:
                return name
        return None

    def name_by_serial(self, serial: int) -> str | None:
        """Return what the thread is or was called whose serial among holders that is, on 3.10."""
        return self._by_serial.get(serial)
