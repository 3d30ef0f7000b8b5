"""A stall that is over, as a value."""

from __future__ import annotations

from json import JSONDecoder
from typing import TYPE_CHECKING

from gilknocker._units import format_ns
from gilknocker.snapshot.stacks import Frame

if TYPE_CHECKING:
    from typing import Any

__all__ = ["Stall"]

_decode = JSONDecoder().decode  # made now: a test may replace what the module has


class Stall(
    tuple[int, str, int, int, int, int, "float | None", "int | None", "int | None", object]
):
    """A time in which one thread kept the GIL from all others: a tuple of its attributes.

    See :func:`gilknocker.watch_stalls`.
    """

    __slots__ = ()

    def __new__(
        cls,
        number: int,
        thread: str,
        native_id: int,
        since_ns: int,
        since_unix_ns: int,
        held_ns: int,
        cpu_share: float | None,
        waiters: int | None,
        collecting: int | None,
        frames: tuple[Frame, ...],
    ) -> Stall:
        """Make one; see the attributes."""
        return super().__new__(
            cls,
            (
                *(number, thread, native_id, since_ns, since_unix_ns, held_ns),
                *(cpu_share, waiters, collecting, frames),
            ),
        )

    @property
    def number(self) -> int:
        """Counts the stalls of one watch, from 1; a forked child has its own."""
        return self[0]

    @property
    def thread(self) -> str:
        """The name of the thread that held the GIL, as far as known; empty where it is not."""
        return self[1]

    @property
    def native_id(self) -> int:
        """Its number, as in ``threading.Thread.native_id``; 0 where Python keeps none (3.10)."""
        return self[2]

    @property
    def since_ns(self) -> int:
        """When it was first seen to hold the GIL, ns on the clock of ``time.monotonic_ns()``."""
        return self[3]

    @property
    def since_unix_ns(self) -> int:
        """The same, in ns since 1970, as ``time.time_ns()``."""
        return self[4]

    @property
    def held_ns(self) -> int:
        """For how long, from then until it was first seen otherwise, ns."""
        return self[5]

    @property
    def cpu_share(self) -> float | None:
        """The share of that time that the thread had a CPU, 0 to 1; None if that is not known.

        From a quarter of what is tolerated to when the stall was last told of. Near 0: it waited
        for something, with the GIL.
        """
        return self[6]

    @property
    def waiters(self) -> int | None:
        """How many threads of the program waited for the GIL then; None if that is not known."""
        return self[7]

    @property
    def collecting(self) -> int | None:
        """The generation that the garbage collector was at work on then; None if it was not."""
        return self[8]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Its Python stack then, outermost first; empty where it could not be read.

        The oldest frames are left out of a deep one.
        """
        frames: tuple[Frame, ...] = self[9]  # type: ignore[assignment]
        return frames

    def __repr__(self) -> str:
        by = f" by {self.frames[-1]!r}" if self.frames else ""
        return f"<Stall {self.number}: {format_ns(self.held_ns, 3)}{by} in {self.thread!r}>"

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    @classmethod
    def _from_json(cls, line: str) -> Stall:
        """Return what the watch wrote of a stall that is over."""
        row: dict[str, Any] = _decode(line)
        cpu_ns, over_ns = row["cpu_ns"], row["cpu_over_ns"]
        return cls(
            row["number"],
            row["thread"],
            row["native_id"],
            row["since_ns"],
            row["since_unix_ns"],
            row["held_ns"],
            min(cpu_ns / over_ns, 1.0) if cpu_ns is not None and over_ns else None,
            row["waiters"],
            row["collecting"],
            tuple(Frame(*frame) for frame in row["frames"]),
        )
