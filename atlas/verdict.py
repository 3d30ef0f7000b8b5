"""What a case's figures mean, in one word."""

from __future__ import annotations

from dataclasses import dataclass

# A hold longer than this while another thread waits is felt: four switch intervals of Python.
LONG_NS = 20_000_000

KEEPS = "keeps"
LONG_PIECES = "long pieces"
GIVES_WAY = "gives way"
MIXED = "mixed"
RELEASES = "releases"
VERDICTS = (KEEPS, LONG_PIECES, GIVES_WAY, MIXED, RELEASES)
LETS_GO = (MIXED, RELEASES)  # without being asked
KEEPS_LONG = (KEEPS, LONG_PIECES)


@dataclass(frozen=True)
class Figures:
    """What the verdict is made from.

    Attributes
    ----------
    seconds : float
        How long the call took alone.
    held_share : float
        The share of that time for which its thread held the GIL, alone.
    contended_hold_ns : int
        The longest that another thread, which wanted the GIL all the time, had to wait for it.
    """

    seconds: float
    held_share: float
    contended_hold_ns: int


def verdict(figures: Figures) -> str:
    """Return one of `VERDICTS`: by what a competing thread gets."""
    if figures.contended_hold_ns > LONG_NS:
        most = figures.contended_hold_ns >= 0.5e9 * figures.seconds
        return KEEPS if most else LONG_PIECES
    if figures.held_share >= 0.8:
        return GIVES_WAY
    return RELEASES if figures.held_share <= 0.2 else MIXED


def agree(hold_ns: int, wait_ns: int, witnessed_ns: int) -> bool:
    """Whether the tracer and the witness saw the same.

    They are of different runs, and the witness asks once a millisecond: they agree if the longest
    hold and the witness's longest wait are both long, or neither is, or they differ by no more than
    a quarter and 10 ms. The witness's may be longer than any hold, where the call lets go and takes
    the GIL back before the other wakes: but not than the longest wait that the tracer saw.
    """
    if (hold_ns > LONG_NS) == (witnessed_ns > LONG_NS):
        return True
    if hold_ns < witnessed_ns <= wait_ns:
        return True
    return any(
        abs(traced_ns - witnessed_ns) <= 10_000_000 + max(traced_ns, witnessed_ns) // 4
        for traced_ns in (hold_ns, wait_ns)
    )
