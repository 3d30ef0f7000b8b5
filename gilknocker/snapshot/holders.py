"""Who held the GIL, by share."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.snapshot.fields import _StoredHolders

__all__ = ["Holder"]


class Holder(tuple[str, int, float]):
    """A thread that held the GIL: a tuple of its three attributes.

    No ``NamedTuple``, which would be made by ``exec``: the report of a program that Ctrl-C ended
    comes while the interpreter exits, and CPython forgets with any ``exec`` of a string that it is
    to end by SIGINT.
    """

    __slots__ = ()

    def __new__(cls, name: str, native_id: int, share: float) -> Holder:
        """Make one; see the attributes."""
        return super().__new__(cls, (name, native_id, share))

    @property
    def name(self) -> str:
        """Its name as far as known: a best effort."""
        return self[0]

    @property
    def native_id(self) -> int:
        """As in ``threading.Thread.native_id``; 0 where Python does not keep it (3.10)."""
        return self[1]

    @property
    def share(self) -> float:
        """Of the time that the program's threads held the GIL, 0 to 1."""
        return self[2]

    def __repr__(self) -> str:
        return f"Holder(name={self.name!r}, native_id={self.native_id}, share={self.share!r})"

    def __getnewargs__(self) -> tuple[str, int, float]:
        return self[0], self[1], self[2]


def shares(stored: _StoredHolders) -> tuple[Holder, ...]:
    """Return each holder's share of the sum, largest first."""
    total = sum(held for *_, held in stored)
    ordered = sorted(stored, key=lambda holder: -holder[-1])
    return tuple(
        Holder(name, native_id, held / total) for native_id, _, name, held in ordered if held
    )
