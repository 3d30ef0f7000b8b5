"""Names of holders of the GIL that no knock has found out yet."""

from __future__ import annotations

from gilknocker.meters.known_threads import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilknocker.snapshot.fields import _StoredHolders

    _Key = tuple[int, int, int]


# So many names may be kept beyond those that are needed.
_SPARE = 256


def named(
    holders: Iterable[tuple[int, int, int, str, int]], known: dict[_Key, str]
) -> _StoredHolders:
    """Return holders as snapshots store them, each with a name.

    A thread that Python gives another state for each callback has a serial for each: it is one
    holder, by the first.

    Parameters
    ----------
    holders : iterable of (int, int, int, str, int)
        Native id, serial, ident, name as far as known, and how often it was seen.
    known : dict
        Names by native id, serial and ident (each interpreter counts its threads for itself): what
        is found out now is kept there, so that a thread that ends is called the same ever after.
    """
    here: dict[_Key, tuple[int, int, str, int]] = {}
    for native_id, serial, ident, name, seen in holders:
        key = (native_id, 0 if native_id else serial, ident)
        name = name or known.get(key) or _name_of(native_id, ident)
        known[key] = name
        _, first, _, before = here.get(key, (native_id, serial, name, 0))
        here[key] = (native_id, min(first, serial), name, before + seen)
    if len(known) > 2 * len(here) + _SPARE:  # of threads that nobody has seen for long
        for key in known.keys() - here.keys():
            known.pop(key, None)
    return tuple(here.values())


def _name_of(native_id: int, ident: int) -> str:
    if not ident:
        return "other threads"
    return name_of(native_id, ident) or f"thread {native_id or ident}"
