"""What is tried: faults, each a function that lives the life of a process and meets its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Life = Callable[[], None]


class Fault(NamedTuple):
    """One fault: how its process should end, and where it can be tried.

    Attributes
    ----------
    title : str
        What the table calls it.
    life : callable
        What the process does, after `subject.begin`.
    status : int
        The exit status that shows survival; negative for a signal.
    last_words : str
        The end of what is said on stderr; else nothing may be.
    only_ours : bool
        Whether it needs what the original does not have.
    missing : callable
        Why it cannot be tried by this Python or here; empty where it can.
    before : callable or None
        Called before anything is imported from the package.
    """

    title: str
    life: Life
    status: int
    last_words: str
    only_ours: bool
    missing: Callable[[], str]
    before: Life | None


FAULTS: dict[str, Fault] = {}


def nothing_missing() -> str:
    """Say that it can be tried everywhere."""
    return ""


def fault(
    title: str,
    *,
    status: int = 0,
    last_words: str = "",
    only_ours: bool = False,
    missing: Callable[[], str] = nothing_missing,
    before: Life | None = None,
) -> Callable[[Life], Life]:
    """Put the decorated function into `FAULTS`, by its name."""

    def register(life: Life) -> Life:
        FAULTS[life.__name__] = Fault(title, life, status, last_words, only_ours, missing, before)
        return life

    return register
