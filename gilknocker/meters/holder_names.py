"""Names of holders of the GIL that no knock has found out yet."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilknocker.snapshot.fields import _StoredHolders


def named(
    holders: Iterable[tuple[int, int, int, str, int]], known: dict[tuple[int, int], str]
) -> _StoredHolders:
    """Return holders as snapshots store them, each with a name.

    Parameters
    ----------
    holders : iterable of (int, int, int, str, int)
        Native id, serial, ident, name as far as known, and how often it was seen.
    known : dict
        Names by serial and ident (each interpreter counts its threads for itself): what is found
        out now is kept there, so that a thread that ends is called the same ever after.
    """
    named = []
    for native_id, serial, ident, name, seen in holders:
        if not name:
            name = known.get((serial, ident)) or _name_of(native_id, ident)
        known[serial, ident] = name
        named.append((native_id, serial, name, seen))
    return tuple(named)


def _name_of(native_id: int, ident: int) -> str:
    # Not imported for this: a program without it has one thread.
    threading = sys.modules.get("threading")
    if threading is not None:
        for thread in threading.enumerate():
            # In a forked child Python before 3.13.1 goes on to give the main one its parent's
            # number.
            same = thread.native_id == native_id or thread is threading.main_thread()
            if thread.ident == ident and (not native_id or same):
                return str(thread.name)
    elif native_id == os.getpid():
        return "MainThread"
    if not ident:
        return "other threads"
    return f"thread {native_id or ident}"
