"""The command line: ``gilknocker run | show | compare``, also as ``python -m gilknocker``.

Its options are few, and parsed by hand: argparse alone would take longer to import than all that
``run`` adds to the start of a program.
"""

from __future__ import annotations

import errno
import os
import sys

from gilknocker.commands.lazy_imports import LazyImports
from gilknocker.commands.options import UsageError, parse_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from gilknocker.commands.options import RunOptions

__all__ = ["main"]

_COMMANDS = "run, show, compare, dump, record, top or attach"
HELP = """\
usage: gilknocker run [OPTION...] SCRIPT [ARG...]   a file, or a folder or zip with __main__.py
       gilknocker run [OPTION...] -m MODULE [ARG...]
       gilknocker run [OPTION...] -c CODE [ARG...]
       gilknocker show FILE
       gilknocker dump | record | top | attach PID
       gilknocker compare [--json FILE] A B
(or: python -m gilknocker ...)

run runs a program as Python would, and prints on stderr how busy the GIL was and what a thread
would have waited for it. show prints such a report again, from a file that --json wrote; compare
prints the difference between two, also of functions where both have stacks. dump, record and top
read a process that already runs, from outside; attach lets one of Python 3.14 or newer measure
itself, exactly. --help after them says more.

options of run, before the program:
  --interval-micros N  look every N microseconds (1000) where holds cannot be counted
                       (knock a tenth as often)
  --live               show a status line every second, if stderr is a terminal
  --json FILE          write the report to FILE too, as JSON (docs/json.md)
  --html FILE          write the report to FILE too, as a page with charts
  --stacks             say which lines held the GIL: the holder's Python stack at each look
  --flame FILE         the same, and write a flame graph to FILE, a page that needs nothing else
  --speedscope FILE    the same, for https://www.speedscope.app
  --collapsed FILE     the same, a line for each stack with its microseconds, as flamegraph.pl reads
  --children           watch all that the program starts too, from outside (docs/children.md)
  --stalls DURATION    say at once who keeps the GIL from others for so long: --stalls 200ms
  --trace              count every hold and wait of every thread, rather than knock
  --chrome-trace FILE  the same, and write them to FILE for the Perfetto UI (gzipped: FILE.gz)

options:
  -h, --help           show this
  --version            show the version
"""


def show(path: str) -> None:
    """Print the report in a file again."""
    from gilknocker._units import fitting
    from gilknocker.commands.report_file import load

    print(fitting(load(path).text(), sys.stdout), end="")


def compare(arguments: list[str]) -> None:
    """Print how the second of two stored measurements differs from the first."""
    from gilknocker.commands.options import parse_compare
    from gilknocker.commands.output_file import output_files
    from gilknocker.commands.report_file import load
    from gilknocker.reports.comparison import Comparison

    stored, a, b = parse_compare(arguments)
    targets = output_files({"--json": stored})
    before, after = (load(path).snapshot for path in (a, b))
    comparison = Comparison(before, after, (a, b))
    if targets:
        import json

        try:
            targets["--json"].write_text(json.dumps(comparison.to_dict(), indent=1) + "\n")
        except OSError as error:
            raise UsageError(f"--json cannot write {stored!r}: {error.strerror}") from None
    print(comparison)


def _dispatch(words: Sequence[str], lazy_imports: LazyImports) -> None:
    command, arguments = (words[0], list(words[1:])) if words else ("", [])
    if command == "run" and arguments[:1] not in (["-h"], ["--help"]):
        _run(arguments, lazy_imports)
        return
    try:
        _answer(command, arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # as Python ends nobody could say what became of it
    except BrokenPipeError:  # who read our output has enough, as `head` has
        _discard_output()
        sys.exit(141)  # as shells say it of SIGPIPE
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO):
            raise
        _discard_output()
        raise UsageError(f"standard output cannot be written: {error.strerror}") from None


def _discard_output() -> None:
    """Let what is still buffered go nowhere, rather than fail once more as Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str], lazy_imports: LazyImports) -> None:
    options = parse_run(arguments)
    if options.children:
        _run_with_children(options)
    from gilknocker.commands.program import run

    run(options, lazy_imports)


def _answer(command: str, arguments: list[str]) -> None:
    """Do what prints an answer: all but run, whose program owns the standard output."""
    if command in ("-h", "--help") or (
        command in ("run", "show", "compare") and arguments[:1] in (["-h"], ["--help"])
    ):
        print(HELP, end="")
    elif command == "--version":
        from gilknocker import __version__

        print(f"gilknocker {__version__}")
    elif command == "show":
        if len(arguments) != 1:
            raise UsageError("show needs one FILE")
        show(*arguments)
    elif command == "compare":
        compare(arguments)
    elif command in ("dump", "record", "top", "attach"):
        _ask_of_another(command, arguments)
    elif command:
        from gilknocker.commands.hints import of_command

        hint = of_command([command, *arguments])
        raise UsageError(f"no command {command!r}: {_COMMANDS} (--help){hint}")
    else:
        raise UsageError(f"a command is needed: {_COMMANDS} (--help)")


def _ask_of_another(command: str, arguments: Sequence[str]) -> None:
    """Measure a process that already runs; once that has begun, Ctrl-C only ends it."""
    try:
        if command == "attach":
            from gilknocker.commands.attach import attach

            attach(arguments)
        else:
            from gilknocker.commands.outside import COMMANDS

            COMMANDS[command](arguments)
    except KeyboardInterrupt:
        print("gilknocker: interrupted before anything was measured", file=sys.stderr)
        sys.exit(130)  # as shells say it of SIGINT


def _run_with_children(options: RunOptions) -> NoReturn:
    try:
        from gilknocker.commands.children import run_family
    except ImportError:
        raise UsageError("--children reads memory as x86-64 Linux shows it: only there") from None
    run_family(options)


def main() -> None:
    """Do what ``sys.argv`` says: the console script.

    Raises
    ------
    SystemExit
        With status 2 after a usage error, and as the program that was run raises it.
    """
    _forget_first_folder()
    lazy_imports = LazyImports()
    try:
        _dispatch(sys.argv[1:], lazy_imports)
    except UsageError as error:
        _fail(str(error))


def _forget_first_folder() -> None:
    """Take away what Python put first on the path for us, where a numbers.py may be.

    That is the folder where we are, or that of the console script; none if Python was told so
    (-P, -I), or if the folder where we are has been removed.
    """
    if getattr(sys.flags, "safe_path", sys.flags.isolated):
        return
    try:
        by_m = sys.modules["__main__"].__spec__ is not None
        first = os.getcwd() if by_m else os.path.dirname(os.path.realpath(sys.argv[0]))
    except OSError:
        return
    if sys.path[:1] == [first]:
        del sys.path[0]


def _fail(message: str) -> NoReturn:
    if sys.stderr is not None:
        line = message.replace("\n", "\\n")  # of a name that somebody gave
        sys.stderr.write(f"gilknocker: error: {line}\n")
    raise SystemExit(2) from None
