"""The lines of a program that cost most: what a report says of a snapshot's stacks."""

from __future__ import annotations

from gilknocker._units import format_percent
from gilknocker.reports.stacks import short_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.snapshot.value import Snapshot

__all__ = ["costly_lines"]

# Of the time that the GIL was held: a line of less is no answer to "which line".
LEAST_SHARE = 0.01
# Of the waits: less than that is not worth the words.
LEAST_WAITS = 0.05


def costly_lines(snapshot: Snapshot, most: int = 5) -> list[str]:
    """Return a text for each of the lines by which the GIL was held longest, largest first.

    A line is that of a stack's innermost frame of Python. Each says its share of the time held, and
    whether it was proven to be in native code; and, where that is worth it, its share of the waits
    of all knocks. One says what could not be told, if that is one percent or more.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured; without stacks there are no lines.
    most : int, default 5
        How many lines.
    """
    stacks = snapshot._stacks or ()
    all_held, all_waited = sum([one[2] for one in stacks]), sum([one[3] for one in stacks])
    if not all_held:
        return []
    sums: dict[tuple[str, str, int], list[int]] = {}
    for frames, _, *times in stacks:
        line = sums.setdefault(frames[-1] if frames else ("", "", 0), [0, 0, 0])
        for column, ns in enumerate(times):
            line[column] += ns
    ordered = sorted(sums.items(), key=lambda item: -item[1][0])
    texts = [
        _text(frame, held / all_held, waited / all_waited if all_waited else 0.0, native / held)
        for frame, (held, waited, native) in ordered
        if frame[0] and held >= LEAST_SHARE * all_held
    ][:most]
    unknown = sums.get(("", "", 0), [0])[0] / all_held
    return [*texts, f"{format_percent(unknown)} % unknown"] if unknown >= LEAST_SHARE else texts


def _text(frame: tuple[str, str, int], share: float, waits: float, native: float) -> str:
    from gilknocker.snapshot.stacks import LEAST_NATIVE

    function, file, line = frame
    place = f"{short_path(file)}:{line} " if file else ""
    in_native = ", in native code" if native >= LEAST_NATIVE else ""
    paid = f"; {format_percent(waits)} % of the waits were for it" if waits >= LEAST_WAITS else ""
    return f"{format_percent(share)} % {place}{function}{in_native}{paid}"
