"""What a case is, and how a field lists its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

FIELDS = Path(__file__).with_name("fields")


@dataclass(frozen=True)
class Case:
    """One call to be measured.

    Attributes
    ----------
    field, name : str
        Where it is listed, and what it is called there: unique in its field.
    package : str
        The distribution that the call is of; "python" for the standard library.
    call : str
        What people would write, for the table.
    size : str
        The input, where the verdict may depend on it.
    set_up : callable
        Makes what the call needs: called once, not measured.
    run : callable
        The call: takes what `set_up` returned; should take 0.2 to 1 s. Its result is freed apart.
    guess : str
        The verdict that was expected before the first run.
    why : str
        The reason for the verdict in one line, with its source, where known.
    one_thread : bool
        Whether the library says not to call it from two threads at once: then nothing does.
    """

    field: str
    name: str
    package: str
    call: str
    size: str
    set_up: Callable[[], Any]
    run: Callable[[Any], Any]
    guess: str
    why: str = ""
    one_thread: bool = False

    @property
    def key(self) -> str:
        """How the command line names it."""
        return f"{self.field}.{self.name}"


class Field:
    """The cases of one file: ``case = Field(__name__).case`` and then ``@case(...)``."""

    def __init__(self, module: str) -> None:
        self.name = module.rpartition(".")[2]
        self.cases: dict[str, Case] = {}

    def case(
        self,
        package: str,
        call: str,
        *,
        guess: str,
        size: str = "",
        set_up: Callable[[], Any] = lambda: None,
        why: str = "",
        one_thread: bool = False,
    ) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
        """Return what adds a function to the cases, under its own name."""

        def add(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
            name = run.__name__
            if name in self.cases:
                raise ValueError(f"{self.name}.{name} is there twice")
            self.cases[name] = Case(
                *(self.name, name, package, call, size, set_up, run),
                guess=guess,
                why=why,
                one_thread=one_thread,
            )
            return run

        return add


def names() -> list[str]:
    """Return the names of all fields."""
    return sorted(path.stem for path in FIELDS.glob("[a-z]*.py"))


def load(field: str) -> dict[str, Case]:
    """Return the cases of a field, by name.

    Importing a field imports nothing of the packages that it is about: their cases do.
    """
    module = import_module(f"atlas.fields.{field}")
    found: Field = module.FIELD
    return found.cases
