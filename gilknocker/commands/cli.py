"""The command line: ``gilknocker run | show | compare``, also as ``python -m gilknocker``.

Its options are few, and parsed by hand: argparse alone would take longer to import than all that
``run`` adds to the start of a program.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["UsageError", "main"]

# What the interpreter had imported before anything of ours: a program cannot tell these from ours.
STARTED_WITH = frozenset(sys.modules)

HELP = """\
usage: gilknocker run [OPTION...] SCRIPT [ARG...]   a file, or a folder or zip with __main__.py
       gilknocker run [OPTION...] -m MODULE [ARG...]
       gilknocker run [OPTION...] -c CODE [ARG...]
       gilknocker show FILE
       gilknocker compare A B
(or: python -m gilknocker ...)

run runs a program as Python would, and prints on stderr how busy the GIL was and what a thread
would have waited for it. show prints such a report again, from a file that --json wrote; compare
prints the difference between two.

options of run, before the program:
  --interval-micros N  look at the GIL every N microseconds (1000), and knock a tenth as often
  --live               show a status line every second, if stderr is a terminal
  --json FILE          write the report to FILE too, as JSON (docs/json.md)
  --html FILE          write the report to FILE too, as a page with charts
  --trace              count every hold and wait of every thread, rather than look and knock
  --chrome-trace FILE  the same, and write them to FILE for the Perfetto UI (gzipped: FILE.gz)

options:
  -h, --help           show this
  --version            show the version
"""


class UsageError(Exception):
    """What was asked for cannot be done; the message is for the user."""


class RunOptions:
    """What ``run`` was asked for.

    Attributes
    ----------
    interval_micros : int or None
        None for the default.
    live : bool
        Whether to show a status line.
    trace : bool
        Whether to trace.
    json, html, chrome_trace : str or None
        Where to write the report, and the trace.
    kind : {"script", "module", "code"}
        What the program is.
    target : str
        Its path, name or text.
    arguments : list of str
        What it is given.
    """

    __slots__ = (
        "arguments",
        "chrome_trace",
        "html",
        "interval_micros",
        "json",
        "kind",
        "live",
        "target",
        "trace",
    )

    interval_micros: int | None
    live: bool
    json: str | None
    html: str | None
    chrome_trace: str | None
    trace: bool
    kind: str
    target: str
    arguments: list[str]

    def __init__(self) -> None:
        self.interval_micros = None
        self.live = False
        self.json = None
        self.html = None
        self.chrome_trace = None
        self.trace = False

    @property
    def words(self) -> list[str]:
        """The program as it was given."""
        flag = {"module": ["-m"], "code": ["-c"]}.get(self.kind, [])
        return [*flag, self.target, *self.arguments]


def parse_run(words: Sequence[str]) -> RunOptions:
    """Return what the words after ``run`` ask for.

    Raises
    ------
    UsageError
        If there is no program, or an option is unknown, lacks its value or has a bad one.
    """
    options = RunOptions()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word[:2] in ("-m", "-c"):
            options.kind = "module" if word[1] == "m" else "code"
            options.target = word[2:] or _value(word, rest)
            break
        if word == "--":
            word = _value(word, rest)
        elif word.startswith("-"):
            _take_option(options, word, rest)
            continue
        options.kind, options.target = "script", word
        break
    else:
        raise UsageError("run needs a program: SCRIPT, -m MODULE or -c CODE")
    options.arguments = rest
    if options.trace and options.interval_micros is not None:
        raise UsageError("--interval-micros is for looks, and --trace takes none: not both")
    return options


def _take_option(options: RunOptions, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    if word == "--live":
        options.live = True
    elif word == "--trace":
        options.trace = True
    elif name in ("--json", "--html", "--chrome-trace"):
        path = value if equals else _value(name, rest)
        if not path:
            raise UsageError(f"{name} needs the name of a file")
        setattr(options, name[2:].replace("-", "_"), path)
        options.trace |= name == "--chrome-trace"
    elif name == "--interval-micros":
        options.interval_micros = _micros(value if equals else _value(name, rest))
    elif word == "-":
        raise UsageError("a program cannot be read from stdin: give a file, -m or -c")
    else:
        raise UsageError(f"run has no option {word}")


def _value(name: str, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"{name} needs a value")
    return rest.pop(0)


def _micros(text: str) -> int:
    from gilknocker.arguments import INTERVALS_PER_KNOCK, MAX_MICROS

    most = MAX_MICROS // INTERVALS_PER_KNOCK
    # isdecimal, and not int() alone: that takes "1_000", " 7 " and thousands of digits.
    number = int(text) if text.isdecimal() and len(text) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise UsageError(f"--interval-micros must be an integer from 1 to {most}, not {text!r}")
    return number


def show(path: str) -> None:
    """Print the report in a file again."""
    from gilknocker.report_file import load

    envelope, snapshot = load(path)
    from gilknocker.report import text

    program, status = envelope.get("program"), envelope.get("exit_status")
    threads = envelope.get("threads", ())
    print(text(snapshot, program=program, exit_status=status, threads=threads), end="")


def compare(a: str, b: str) -> None:
    """Print how the second of two stored measurements differs from the first."""
    from gilknocker.comparison import Comparison
    from gilknocker.report_file import load

    before, after = (load(path)[1] for path in (a, b))
    print(Comparison(before, after, (a, b)))


def _dispatch(words: Sequence[str]) -> None:
    command, arguments = (words[0], list(words[1:])) if words else ("", [])
    if command in ("-h", "--help") or (
        command in ("run", "show", "compare") and arguments[:1] in (["-h"], ["--help"])
    ):
        print(HELP, end="")
    elif command == "--version":
        from gilknocker import __version__

        print(f"gilknocker {__version__}")
    elif command == "run":
        from gilknocker.runner import run

        run(parse_run(arguments))
    elif command in ("show", "compare"):
        wanted = 1 if command == "show" else 2
        if len(arguments) != wanted:
            raise UsageError(f"{command} needs {'one FILE' if wanted == 1 else 'two files, A B'}")
        show(*arguments) if command == "show" else compare(*arguments)
    elif command:
        raise UsageError(f"no command {command!r}: run, show or compare (--help)")
    else:
        raise UsageError("a command is needed: run, show or compare (--help)")


def main() -> None:
    """Do what ``sys.argv`` says: the console script.

    Raises
    ------
    SystemExit
        With status 2 after a usage error, and as the program that was run raises it.
    """
    _forget_first_folder()
    try:
        _dispatch(sys.argv[1:])
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
