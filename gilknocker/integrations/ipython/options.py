"""What the line of the magic asks for."""

from __future__ import annotations

import keyword
import re

from IPython.core.error import UsageError

__all__ = ["Options", "parse"]

USAGE = "%gil [-i MICROS] [--trace] [-o NAME] [--plot] STATEMENT"
CELL_USAGE = "%%gil [-i MICROS] [--trace] [-o NAME] [--plot], and the code on the lines below"


class Options:
    """What was asked for.

    Attributes
    ----------
    interval_micros : int or None
        None for the default.
    trace, plot : bool
        Whether to trace; whether to draw.
    name : str or None
        Where to keep the snapshot.
    """

    def __init__(self) -> None:
        self.interval_micros: int | None = None
        self.trace = False
        self.plot = False
        self.name: str | None = None


def parse(line: str, *, is_cell: bool) -> tuple[Options, str]:
    """Return what the magic's line asks for, and the statement after its options.

    Raises
    ------
    UsageError
        If an option is unknown, lacks its value or has a bad one; without a statement, or with one
        on the first line of a cell.
    """
    options, rest = Options(), line.strip()
    while rest.startswith("-"):
        word, rest = _first_word(rest)
        if word == "--":
            break
        if word == "--trace":
            options.trace = True
        elif word == "--plot":
            options.plot = True
        elif word in ("-i", "-o"):
            value, rest = _first_word(rest)
            _take(options, word, value)
        else:
            raise UsageError(f"%gil has no option {word}: {CELL_USAGE if is_cell else USAGE}")
    if is_cell and rest:
        raise UsageError(f"%%gil takes no code on its first line, not {rest!r}: {CELL_USAGE}")
    if not is_cell and not rest:
        raise UsageError(f"%gil needs a statement: {USAGE}")
    return options, rest


def _take(options: Options, word: str, value: str) -> None:
    if word == "-o":
        if not value.isidentifier() or keyword.iskeyword(value):
            raise UsageError(f"-o must be the name of a variable, not {value!r}")
        options.name = value
        return
    # isdecimal, and not int() alone: that takes "1_000" and thousands of digits.
    options.interval_micros = int(value) if value.isdecimal() and len(value) < 19 else 0
    if not options.interval_micros:
        raise UsageError(f"-i must be a whole number of microseconds, at least 1, not {value!r}")


def _first_word(text: str) -> tuple[str, str]:
    word, _, rest = re.sub(r"\s+", " ", text, count=1).partition(" ")
    return word, rest.lstrip()
