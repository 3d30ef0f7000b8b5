"""What ``run`` is asked for, by the words on its command line.

Its options are few, and parsed by hand: argparse alone would take longer to import than all that
``run`` adds to the start of a program.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["OF_STACKS", "STARTED_WITH", "RunOptions", "UsageError", "parse_run", "positive"]

# What the interpreter had imported before anything of ours: a program cannot tell these from ours.
STARTED_WITH = frozenset(sys.modules)


# What may be written: the attributes of `RunOptions` that name a file.
FILES = ("json", "html", "chrome_trace", "flame", "speedscope", "collapsed")
# Files that are made of stacks.
OF_STACKS = ("--flame", "--speedscope", "--collapsed")


# What --stalls says, for programs that are started by others.
STALLS = "GILKNOCKER_STALLS"


class UsageError(Exception):
    """What was asked for cannot be done; the message is for the user."""


class RunOptions:
    """What ``run`` was asked for.

    Attributes
    ----------
    interval_micros : int or None
        None for the default.
    children : bool
        Whether to watch all that the program starts.
    live : bool
        Whether to show a status line.
    trace : bool
        Whether to trace.
    stacks : bool
        Whether to read the stack of whoever holds the GIL.
    stalls : str or None
        How long the GIL may be kept before that is told of at once, as a duration; None for ever.
    json, html, chrome_trace, flame, speedscope, collapsed : str or None
        Where to write the report, the trace, and the stacks.
    kind : {"script", "module", "code"}
        What the program is.
    target : str
        Its path, name or text.
    arguments : list of str
        What it is given.
    """

    __slots__ = (
        "arguments",
        "children",
        "chrome_trace",
        "collapsed",
        "flame",
        "html",
        "interval_micros",
        "json",
        "kind",
        "live",
        "speedscope",
        "stacks",
        "stalls",
        "target",
        "trace",
    )

    interval_micros: int | None
    children: bool
    live: bool
    json: str | None
    html: str | None
    chrome_trace: str | None
    trace: bool
    stacks: bool
    stalls: str | None
    flame: str | None
    speedscope: str | None
    collapsed: str | None
    kind: str
    target: str
    arguments: list[str]

    def __init__(self) -> None:
        self.interval_micros = None
        self.children = False
        self.live = False
        self.json = None
        self.html = None
        self.chrome_trace = None
        self.trace = False
        self.stacks = False
        self.stalls = None
        self.flame = None
        self.speedscope = None
        self.collapsed = None

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
    if options.children and options.stalls is not None:
        raise UsageError("--children watches from outside, and --stalls from within: not both")
    if options.stalls is None and not options.children and os.environ.get(STALLS):
        options.stalls = _tolerated(STALLS, os.environ[STALLS])
    traced = "--trace" if options.chrome_trace is None else "--chrome-trace"  # as it was given
    if options.trace and options.interval_micros is not None and not options.stacks:
        raise UsageError(
            f"--interval-micros is for looks, and {traced} takes none without --stacks: not both"
        )
    if options.children and (options.trace or options.live):
        other = traced if options.trace else "--live"
        raise UsageError(
            f"--children watches from outside, and {other} is of one process: not both"
        )
    return options


def parse_compare(words: Sequence[str]) -> tuple[str | None, str, str]:
    """Return what the words after ``compare`` ask for: where to store it, and the two files.

    Raises
    ------
    UsageError
        If there are not two files, or an option is unknown or lacks its value.
    """
    stored, files, rest = None, [], list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if name == "--json":
            stored = value if equals else _value(name, rest)
            if not stored:
                raise UsageError("--json needs the name of a file")
        elif word == "--":
            files += rest
            break
        elif word.startswith("--"):
            raise UsageError(f"compare has no option {word}")
        else:
            files.append(word)
    if len(files) != 2:
        raise UsageError("compare needs two files, A B")
    return stored, files[0], files[1]


def _take_option(options: RunOptions, word: str, rest: list[str]) -> None:
    name, equals, value = word.partition("=")
    if word == "--live":
        options.live = True
    elif word == "--children":
        options.children = True
    elif word == "--trace":
        options.trace = True
    elif word == "--stacks":
        options.stacks = True
    elif name in ("--json", "--html", "--chrome-trace", *OF_STACKS):
        path = value if equals else _value(name, rest)
        if not path:
            raise UsageError(f"{name} needs the name of a file")
        setattr(options, name[2:].replace("-", "_"), path)
        options.trace |= name == "--chrome-trace"
        options.stacks |= name in OF_STACKS
    elif name == "--stalls":
        options.stalls = _tolerated(name, value if equals else _value(name, rest))
    elif name == "--interval-micros":
        options.interval_micros = _micros(value if equals else _value(name, rest))
    elif word == "-":
        raise UsageError("a program cannot be read from stdin: give a file, -m or -c")
    else:
        from gilknocker.commands.hints import of_python_option

        raise UsageError(f"run has no option {word}{of_python_option(word)}")


def _value(name: str, rest: list[str]) -> str:
    if not rest:
        raise UsageError(f"{name} needs a value")
    return rest.pop(0)


def _tolerated(name: str, text: str) -> str:
    from gilknocker.meters.stall_watch import checked_tolerance

    try:
        checked_tolerance(name, text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return text


def _micros(text: str) -> int:
    from gilknocker._checks import shown
    from gilknocker.meters.arguments import INTERVALS_PER_KNOCK, MAX_MICROS

    most = MAX_MICROS // INTERVALS_PER_KNOCK
    number = positive(text, most)
    if not number:
        allowed = f"an integer from 1 to {most}"
        raise UsageError(f"--interval-micros must be {allowed}, not {shown(text)}")
    return number


def positive(word: str, most: int) -> int:
    """Return the integer from 1 to `most` that a word is; 0 if it is none."""
    # Not int() alone: that takes "1_000" and " 7 ", and fails on thousands of digits.
    if not (word.isascii() and word.isdecimal() and len(word) <= len(str(most))):
        return 0
    number = int(word)
    return number if number <= most else 0
