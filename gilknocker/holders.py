"""Who held the GIL, by share."""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker._snapshot_fields import StoredHolders

__all__ = ["Holder"]


class Holder(NamedTuple):
    """A thread that held the GIL."""

    name: str
    """Its name as far as known, else what the system calls it: a best effort."""
    native_id: int
    """As in ``threading.Thread.native_id``; 0 where the system does not say."""
    share: float
    """Of the time that the program's threads held the GIL, 0 to 1."""


def shares(stored: StoredHolders) -> tuple[Holder, ...]:
    """Return each holder's share of the sum, largest first."""
    total = sum(held for *_, held in stored)
    ordered = sorted(stored, key=lambda holder: -holder[-1])
    return tuple(
        Holder(name, native_id, held / total) for native_id, _, name, held in ordered if held
    )
