"""What the commands that are given a process have in common: their words, and their reports."""

from __future__ import annotations

import argparse
import sys

from gilknocker._checks import shown
from gilknocker._units import fitting
from gilknocker.commands.options import UsageError, positive
from gilknocker.meters.outside.process import NoProcess
from gilknocker.meters.outside.target import NoPython, Target, Unreadable
from gilknocker.reports.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from gilknocker.commands.first_stderr import FirstStderr
    from gilknocker.commands.outputs import Output
    from gilknocker.reports.run import Run

__all__ = ["FILES", "add_files", "micros", "parser_of", "print_report", "seconds", "target_of"]

_MOST_MICROS = 10_000_000
FILES = {
    "--json": "the report as JSON",
    "--html": "it as a page with charts",
    "--flame": "a flame graph",
    "--speedscope": "the stacks for speedscope.app",
    "--collapsed": "the stacks as flamegraph.pl reads them",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.rpartition(' ')[2]}: {message}")


def parser_of(command: str, what: str) -> argparse.ArgumentParser:
    """Return what parses the words of a command; it is given a PID."""
    parser = _Parser(prog=f"gilknocker {command}", description=what)
    parser.add_argument("pid", type=_pid, metavar="PID", help="the process, by its number here")
    return parser


def _pid(word: str) -> int:
    number = positive(word, 2**31 - 1)
    if not number:
        raise argparse.ArgumentTypeError(f"PID must be the number of a process, not {shown(word)}")
    return number


def micros(word: str) -> int:
    """Return an interval, µs."""
    number = positive(word, _MOST_MICROS)
    if not number:
        allowed = f"an integer from 1 to {_MOST_MICROS}"
        raise argparse.ArgumentTypeError(f"must be {allowed}, not {shown(word)}")
    return number


def seconds(word: str) -> float:
    """Return a duration, s."""
    try:
        number = float(word)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1e6:
        allowed = "a number of seconds up to 1e6"
        raise argparse.ArgumentTypeError(f"must be {allowed}, not {shown(word)}")
    return number


def target_of(pid: int) -> Target:
    """Return the Python in a process.

    Raises
    ------
    UsageError
        If there is none that can be read.
    """
    try:
        return Target(pid)
    except NoPython as error:
        if error.kernel:
            raise UsageError(f"{error}: it is the kernel's {printable(error.kernel)!r}") from None
        program = printable(error.program)[:60]
        raise UsageError(
            f"{error}: it is {program!r}; if that started one, give the number of its process"
        ) from None
    except (NoProcess, Unreadable) as error:
        raise UsageError(str(error)) from None


def add_files(parser: argparse.ArgumentParser) -> None:
    """Let a command write files beside its report."""
    for option, what in FILES.items():
        parser.add_argument(option, metavar="FILE", help=f"write {what} to FILE too")
    parser.set_defaults(chrome_trace=None, trace=False)


def print_report(
    run: Run, files: Sequence[Output], stderr: FirstStderr, notes: Sequence[str] = ()
) -> None:
    """Print what was measured, and write the files.

    Raises
    ------
    UsageError
        If one cannot be written.
    """
    print(fitting(run.text(), sys.stdout), end="")
    for note in notes:
        print(fitting(f"  Note: {note}", sys.stdout))
    for file in files:
        try:
            file.write(run, stderr)
        except (OSError, ValueError) as error:
            raise UsageError(f"{file.missing}: {error}") from None
