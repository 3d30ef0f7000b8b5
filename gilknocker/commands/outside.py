"""``gilknocker dump | record | top PID``: a process that already runs, read from outside."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress

from gilknocker._units import fitting, format_ns
from gilknocker.commands.first_stderr import FirstStderr
from gilknocker.commands.options import UsageError
from gilknocker.commands.outputs import outputs
from gilknocker.commands.outside_options import (
    add_files,
    micros,
    parser_of,
    print_report,
    seconds,
    target_of,
)
from gilknocker.meters.outside.process import NoProcess, stopped_words
from gilknocker.meters.outside.watch import OutsideMeter
from gilknocker.reports.run import Run
from gilknocker.reports.stacks import stack_lines
from gilknocker.reports.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any

    from gilknocker.commands.outputs import Output
    from gilknocker.meters.outside.process import Process
    from gilknocker.meters.outside.target import Target, Thread
    from gilknocker.reports.stacks import _Frame

__all__ = ["COMMANDS", "stopped_notes", "watched"]

_DUMP_SECONDS = 0.05
# So long a busy machine may leave the reader without a CPU.
_PATIENCE_SECONDS = 5.0


def _title(target: Target) -> str:
    version = "{}.{}".format(*target.version)
    words = printable(" ".join(target.process.command()))[:100]
    return f"process {target.process.pid}, Python {version}: {words}"


def dump(words: Sequence[str]) -> None:
    """Print once who holds the GIL, since when at least, and every thread's stack."""
    parser = parser_of("dump", dump.__doc__ or "")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(words)
    target = target_of(options.pid)
    try:
        state = _state(target)
    except NoProcess as error:
        raise UsageError(str(error)) from None
    text = json.dumps(state, indent=1) if options.json else "\n".join(_dump_lines(state))
    print(fitting(text, sys.stdout))


def _state(target: Target) -> dict[str, Any]:
    with OutsideMeter(target) as meter:
        meter.wait(_DUMP_SECONDS)
        meter.wait_for_a_look(_PATIENCE_SECONDS)
        counted = meter.read()
    serial, _ = counted["holder"]
    now = time.monotonic_ns()
    threads = target.threads()
    since = counted["held_since_ns"]
    return {
        "format": "gilknocker.dump",
        "version": 1,
        "pid": target.process.pid,
        "python": "{}.{}".format(*target.version),
        "program": target.process.command(),
        "held_for_ns": now - since if since else 0,
        "stopped": target.process.is_stopped,
        "held_fraction": counted["ticks_held"] / counted["ticks"] if counted["ticks"] else None,
        "threads": [
            _thread(target, thread, bool(since) and thread.serial == serial - 1)
            for thread in threads
        ],
    }


def _thread(target: Target, thread: Thread, holds: bool) -> dict[str, Any]:
    frames: list[_Frame] | None = target.reader.stack(thread.state)
    keys = ("function", "file", "line")
    told = None if frames is None else [dict(zip(keys, one, strict=True)) for one in frames]
    return {
        "native_id": thread.native_id,
        "serial": thread.serial,
        "name": thread.name,
        "holds": holds,
        "frames": told,
    }


def _dump_lines(state: dict[str, Any]) -> list[str]:
    program = printable(" ".join(state["program"]))[:100]
    lines = [f"process {state['pid']}, Python {state['python']}: {program}"]
    if state["held_for_ns"]:
        lines.append(f"the GIL is held, for {format_ns(state['held_for_ns'])} at least")
    elif state["held_fraction"] is None:
        lines.append("whether the GIL is held is unknown: no look was possible")
    else:
        lines.append("the GIL is free")
    if state["stopped"]:
        lines.append(stopped_words(state["pid"]))
    for thread in sorted(state["threads"], key=lambda one: not one["holds"]):
        name = printable(thread["name"]) or "thread"
        number = thread["native_id"] or thread["serial"]  # 3.10 does not say the former
        lines.append(f"{name} {number}{': holds the GIL' if thread['holds'] else ''}")
        frames = thread["frames"]
        if frames is not None:
            frames = [(frame["function"], frame["file"], frame["line"]) for frame in frames]
        lines += stack_lines(frames, "    ")
    return lines


def record(words: Sequence[str]) -> None:
    """Measure a process for some time, and print the report that run prints of a program."""
    parser = parser_of("record", record.__doc__ or "")
    parser.add_argument("--seconds", type=seconds, default=5.0, help="how long (5)")
    parser.add_argument("--interval-micros", type=micros, default=1000, help="of looks (1000)")
    add_files(parser)
    options = parser.parse_args(words)
    stderr = FirstStderr()
    files = outputs(options, stderr)
    watched(target_of(options.pid), options, files, stderr)


def watched(
    target: Target, options: argparse.Namespace, files: Sequence[Output], stderr: FirstStderr
) -> None:
    """Measure a process from outside, and print the report."""
    process = target.process
    was_stopped = process.is_stopped
    with OutsideMeter(target, options.interval_micros or 1000) as meter:
        with suppress(KeyboardInterrupt):
            meter.wait(options.seconds)
        is_over = meter.is_over()
    run = Run(meter.snapshot(), ["process", str(options.pid)])
    notes = [f"{process.fate}."] if is_over else stopped_notes(process, was_stopped)
    print_report(run, files, stderr, notes)


def stopped_notes(process: Process, was_stopped: bool) -> list[str]:
    """Return a note on a process that is stopped, or was when its measurement began."""
    if process.is_stopped:
        return [f"{stopped_words(process.pid)}."]
    how = "(by a signal or a debugger): nothing ran in it then"
    return [f"process {process.pid} was stopped at first {how}."] if was_stopped else []


def top(words: Sequence[str]) -> None:
    """Show each second how busy the GIL is, who holds it, and where; keys q, p, s in a terminal."""
    from gilknocker.commands.top import watch

    parser = parser_of("top", top.__doc__ or "")
    parser.add_argument("--interval-micros", type=micros, default=1000, help="of looks (1000)")
    options = parser.parse_args(words)
    if sys.stdout is None:
        raise UsageError("top: standard output is closed")
    target = target_of(options.pid)
    with OutsideMeter(target, options.interval_micros) as meter:
        try:
            ended = watch(meter, _title(target))
        except KeyboardInterrupt:
            return
    if ended:
        print(fitting(target.process.fate, sys.stdout))


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"dump": dump, "record": record, "top": top}
