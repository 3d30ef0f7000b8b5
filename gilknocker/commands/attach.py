"""``gilknocker attach PID``: a process that already runs measures itself for some time."""

from __future__ import annotations

from contextlib import suppress

from gilknocker._units import printable
from gilknocker.commands.first_stderr import FirstStderr
from gilknocker.commands.options import OF_STACKS, UsageError
from gilknocker.commands.outputs import outputs
from gilknocker.commands.outside import stopped_notes, watched
from gilknocker.commands.outside_options import (
    add_files,
    micros,
    parser_of,
    print_report,
    seconds,
    target_of,
)
from gilknocker.meters.outside.attachment import Attachment, NoAnswer
from gilknocker.meters.outside.process import NoProcess
from gilknocker.meters.outside.target import Target, Unreadable
from gilknocker.reports.run import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["attach"]

_METHODS = ("trace", "count", "look")


def attach(words: Sequence[str]) -> None:
    """Let a process measure itself for some time, and print the report that run prints."""
    options = _options(words)
    stderr = FirstStderr()
    files = outputs(options, stderr)
    target = target_of(options.pid)
    try:
        attachment = Attachment(target, options.timeout, lambda raw: _relay(raw, stderr))
    except NoAnswer as error:
        stderr.write(f"gilknocker: {error}; it is read from outside, as record does\n")
        watched(target, options, files, stderr)
        return
    except (NoProcess, Unreadable) as error:
        raise UsageError(str(error)) from None
    except OSError as error:  # no folder to meet in
        raise UsageError(f"process {options.pid} cannot be attached to: {error}") from None
    with attachment:
        try:
            notes = _measure(attachment, target, options)
        except (NoAnswer, NoProcess, Unreadable) as error:
            raise UsageError(str(error)) from None
    if attachment.snapshot is None:
        raise UsageError(f"{target.process.fate} before it could say anything")
    program = ["process", str(options.pid)]
    run = Run(attachment.snapshot, program, threads=attachment.threads)
    print_report(run, files, stderr, notes)


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = parser_of("attach", attach.__doc__ or "")
    parser.add_argument("--seconds", type=seconds, default=5.0, help="how long (5)")
    parser.add_argument(
        "--method",
        choices=_METHODS,
        default="trace",
        help="count all holds and waits (trace), holds, or look",
    )
    parser.add_argument("--interval-micros", type=micros, help="of looks (1000)")
    parser.add_argument("--stacks", action="store_true", help="say which lines held the GIL")
    parser.add_argument(
        "--stalls", metavar="DURATION", help="say at once who keeps the GIL for so long: 200ms"
    )
    parser.add_argument(
        "--timeout", type=seconds, default=5.0, help="how long to wait for it to begin (5)"
    )
    add_files(parser)
    options = parser.parse_args(words)
    options.stacks |= any(getattr(options, option[2:]) for option in OF_STACKS)
    if options.method == "trace" and options.interval_micros is not None and not options.stacks:
        raise UsageError("attach: --interval-micros is for --stacks, or --method look or count")
    if options.stalls is not None:
        from gilknocker.meters.stall_watch import checked_tolerance

        try:
            checked_tolerance("--stalls", options.stalls)
        except ValueError as error:
            raise UsageError(str(error)) from None
    return options


def _measure(attachment: Attachment, target: Target, options: argparse.Namespace) -> list[str]:
    """Let it measure; return what is to be said of how that went."""
    attachment.start(
        options.method,
        interval_micros=options.interval_micros,
        stacks=options.stacks,
        stalls=options.stalls,
    )
    with suppress(KeyboardInterrupt):
        attachment.measure(options.seconds)
    if not attachment.has_ended and not attachment.end() and not attachment.has_ended:
        return [
            f"process {options.pid} has not answered for {options.timeout:g} s: these are the "
            "numbers of before, and it stops measuring when it runs Python code again.",
            *stopped_notes(target.process, False),
        ]
    return [f"{target.process.fate}."] if attachment.has_ended else []


def _relay(raw: bytes, stderr: FirstStderr) -> None:
    """Write what the process says of stalls; it may say anything."""
    lines = raw.decode("utf-8", "backslashreplace").split("\n")
    stderr.write("\n".join(map(printable, lines)))
