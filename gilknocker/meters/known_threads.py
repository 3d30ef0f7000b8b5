"""What :mod:`threading` knows of the program's threads, whatever the program made of it.

Only what stands there is read: no method of a thread is called (it may be anybody's subclass, and
what is no thread yet asserts), and no lock is taken (under gevent that lets others run). What
cannot be read is not known, and nothing here raises.

With greenlets :mod:`threading` says that there are many threads in one of the system's. Where that
is the main one, it is the main one that is meant; elsewhere nobody can say which.
"""

from __future__ import annotations

import sys
from os import stat  # now: a program may replace it, for its tests say

from gilknocker import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeAlias

    _KnownThread: TypeAlias = tuple[int, int, str]  # ident, native id, name


__all__ = ["ident_of", "known_threads", "name_by_native_id", "name_of", "name_of_thread"]

# Of the process's first thread, where it is the one that imports this: Python 3.10 does not tell
# the native id of who holds the GIL, and with greenlets `threading` has another ident.
_FIRST_IDENT = _core.thread_ident() if _core.native_id() == _core.process_number() else 0


def known_threads() -> list[_KnownThread]:
    """Return (ident, native id, name) of each thread, of the main one first.

    What is not known is 0 or "". There is none in a program without :mod:`threading`.
    """
    try:
        known = vars(sys.modules["threading"])
    except (KeyError, TypeError):
        return []
    main = known.get("_main_thread")
    try:
        active = list(known["_active"].values())
    except Exception:  # it is somebody's own
        active = []
    others = [thread for thread in active if thread is not main]
    return [
        (ident_of(main), _native_id_of_main(_number(main, "_native_id")), name_of_thread(main)),
        *((ident_of(one), _number(one, "_native_id"), name_of_thread(one)) for one in others),
    ]


def ident_of(thread: object) -> int:
    """Return the ident of a thread of :mod:`threading`, 0 if it is not known."""
    return _number(thread, "_ident")


def name_of_thread(thread: object) -> str:
    """Return the name of a thread of :mod:`threading`, "" if it is not known."""
    try:
        return str.__str__(object.__getattribute__(thread, "_name"))  # of a subclass: as a str
    except Exception:
        return ""


def _number(thread: object, attribute: str) -> int:
    try:
        number = int.__int__(object.__getattribute__(thread, attribute))
    except Exception:
        return 0
    return number if 0 < number < 2**63 else 0


def _native_id_of_main(native_id: int) -> int:
    # A forked child's main thread has the process's number. Python before 3.13.1 goes on to give
    # it that which it had in the parent, and gevent none where a greenlet forked.
    pid = _core.process_number()
    if native_id == pid or sys.platform != "linux":
        return native_id
    return native_id if native_id and _is_here(native_id) else pid


def _is_here(native_id: int) -> bool:
    try:
        stat(f"/proc/self/task/{native_id}")
    except OSError:
        return False
    return True


def name_by_native_id() -> dict[int, str]:
    """Return the names of the threads that are there, by native id."""
    main, *others = known_threads() or [(0, 0, "")]
    names: dict[int, str] = {}
    for _, native_id, name in others:
        names[native_id] = "" if native_id in names else name
    names[main[1]] = main[2]
    return {native_id: name for native_id, name in names.items() if native_id and name}


def name_of(native_id: int, ident: int) -> str:
    """Return the name of a thread, "" if it has none.

    Parameters
    ----------
    native_id : int
        Its native id, 0 where that is not known: the next thread may have the same ident.
    ident : int
        Its ident, the system's: with greenlets :mod:`threading` may have another for it.
    """
    known = known_threads()
    if not known and native_id == _core.process_number():
        return "MainThread"  # a program without `threading` has no other
    for place, (known_ident, known_native_id, name) in enumerate(known):
        is_main = place == 0
        if known_ident == ident and (is_main or native_id in (0, known_native_id)):
            return name
    if native_id:
        return name_by_native_id().get(native_id, "")
    return known[0][2] if known and ident == _FIRST_IDENT else ""
