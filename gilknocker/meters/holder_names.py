"""Names of holders of the GIL that no knock has found out yet."""

from __future__ import annotations

from gilknocker.meters.known_threads import name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilknocker.snapshot.fields import _StoredHolders


# So many names may be kept beyond those that are needed.
_SPARE = 256


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
    here = set()
    for native_id, serial, ident, name, seen in holders:
        if not name:
            name = known.get((serial, ident)) or _name_of(native_id, ident)
        known[serial, ident] = name
        named.append((native_id, serial, name, seen))
        here.add((serial, ident))
    if len(known) > 2 * len(here) + _SPARE:  # of threads that nobody has seen for long
        for key in known.keys() - here:
            known.pop(key, None)
    return tuple(named)


def _name_of(native_id: int, ident: int) -> str:
    if not ident:
        return "other threads"
    return name_of(native_id, ident) or f"thread {native_id or ident}"
