"""The lines of a program that cost most: what a report says of a snapshot's stacks."""

from __future__ import annotations

from typing import NamedTuple

from gilknocker._units import format_percent
from gilknocker.reports.stacks import short_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.snapshot.value import Snapshot

__all__ = ["CostlyLine", "all_lines", "costly_lines", "lines_by_cost"]

# Of the time that the GIL was held: a line of less is no answer to "which line".
LEAST_SHARE = 0.01
# Of the waits: less than that is not worth the words.
LEAST_WAITS = 0.05


class CostlyLine(NamedTuple):
    """A line by which the GIL was held: that of a stack's innermost frame of Python.

    Attributes
    ----------
    function, file : str
        As those of a `Frame`.
    line : int
        Its number.
    share : float
        Of the time held, 0 to 1.
    waits : float
        Of the waits of all knocks, 0 to 1.
    native : bool
        Whether it was proven to be in native code.
    retaken : float
        Of the waits of a trace's threads, those for holds that began by taking the GIL back.
    """

    function: str
    file: str
    line: int
    share: float
    waits: float
    native: bool
    retaken: float

    @property
    def place(self) -> str:
        """Where it is, in words: ``json/encoder.py:261 iterencode``."""
        return (
            f"{short_path(self.file)}:{self.line} {self.function}" if self.file else self.function
        )

    @property
    def remarks(self) -> list[str]:
        """What else is to be said of it, as far as it is worth the words."""
        found = ["in native code"] if self.native else []
        if self.waits >= LEAST_WAITS:
            after = f" ({format_percent(self.retaken)} % after retakes)" if self.retaken else ""
            found.append(f"{format_percent(self.waits)} % of the waits were for it{after}")
        return found


def lines_by_cost(snapshot: Snapshot, most: int = 5) -> tuple[list[CostlyLine], float]:
    """Return the lines by which the GIL was held longest, largest first, and the unknown share.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured; without stacks there are no lines.
    most : int, default 5
        How many lines.
    """
    lines = all_lines(snapshot)
    found = [line for line in lines if line.function and line.share >= LEAST_SHARE]
    return found[:most], sum(line.share for line in lines if not line.function)


def all_lines(snapshot: Snapshot) -> list[CostlyLine]:
    """Return every line, the longest held first; of what could not be told one without a name."""
    from gilknocker.snapshot.stacks import LEAST_NATIVE, NOTHING

    stacks = snapshot._stacks or ()
    all_held, all_waited = sum([one[2] for one in stacks]), sum([one[3] for one in stacks])
    if not all_held:
        return []
    sums: dict[tuple[str, str, int], list[int]] = {}
    for frames, _, *times in stacks:
        line = sums.setdefault(frames[-1] if frames else ("", "", 0), [*NOTHING])
        for column, ns in enumerate(times):
            line[column] += ns
    return [
        CostlyLine(
            *frame,
            held / all_held,
            waited / all_waited if all_waited else 0.0,
            native >= LEAST_NATIVE * held > 0,
            retaken / all_waited if all_waited else 0.0,
        )
        for frame, (held, waited, native, retaken) in sorted(
            sums.items(), key=lambda item: -item[1][0]
        )
    ]


def costly_lines(snapshot: Snapshot, most: int = 5) -> list[str]:
    """Return a text for each of the lines of `lines_by_cost`.

    Each says its share of the time held, and whether it was proven to be in native code; and, where
    that is worth it, its share of the waits of all knocks. One says what could not be told, if that
    is one percent or more.
    """
    lines, unknown = lines_by_cost(snapshot, most)
    texts = [_text(line) for line in lines]
    return [*texts, f"{format_percent(unknown)} % unknown"] if unknown >= LEAST_SHARE else texts


def _text(line: CostlyLine) -> str:
    native = ", in native code" if line.native else ""
    paid = "".join(f"; {remark}" for remark in line.remarks[line.native :])
    return f"{format_percent(line.share)} % {line.place}{native}{paid}"
