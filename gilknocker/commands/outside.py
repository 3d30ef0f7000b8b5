"""``gilknocker dump | record | top PID``: a process that already runs, read from outside."""

from __future__ import annotations

import argparse
import json
import sys
import time

from gilknocker._units import format_ns, format_percent
from gilknocker.commands.options import UsageError
from gilknocker.commands.output_file import output_files
from gilknocker.meters.outside.process import NoProcess
from gilknocker.meters.outside.target import Target, Unreadable
from gilknocker.meters.outside.watch import OutsideMeter
from gilknocker.reports.stacks import collapsed, function_lines, stack_lines
from gilknocker.reports.words import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn

    from gilknocker._files import Target as File
    from gilknocker.meters.outside.target import Thread
    from gilknocker.reports.stacks import _Frame

__all__ = ["COMMANDS"]

_DUMP_SECONDS = 0.05
_TOP_SECONDS = 1.0
_MOST_MICROS = 10_000_000


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog.rpartition(' ')[2]}: {message}")


def _parser(command: str, what: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"gilknocker {command}", description=what)
    parser.add_argument("pid", type=_pid, metavar="PID", help="the process, by its number here")
    return parser


def _pid(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**31):
        raise argparse.ArgumentTypeError(f"PID must be the number of a process, not {text!r}")
    return int(text)


def _micros(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_MICROS):
        allowed = f"an integer from 1 to {_MOST_MICROS}"
        raise argparse.ArgumentTypeError(f"must be {allowed}, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1e6:
        raise argparse.ArgumentTypeError(f"must be a number of seconds up to 1e6, not {text!r}")
    return number


def _target(pid: int) -> Target:
    try:
        return Target(pid)
    except (NoProcess, Unreadable) as error:
        raise UsageError(str(error)) from None


def _title(target: Target) -> str:
    version = "{}.{}".format(*target.version)
    words = printable(" ".join(target.process.command()))[:100]
    return f"process {target.process.pid}, Python {version}: {words}"


def dump(words: Sequence[str]) -> None:
    """Print once who holds the GIL, since when at least, and every thread's stack."""
    parser = _parser("dump", dump.__doc__ or "")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args(words)
    target = _target(options.pid)
    try:
        state = _state(target)
    except NoProcess as error:
        raise UsageError(str(error)) from None
    print(json.dumps(state, indent=1) if options.json else "\n".join(_dump_lines(state)))


def _state(target: Target) -> dict[str, Any]:
    with OutsideMeter(target) as meter:
        meter.wait(_DUMP_SECONDS)
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
    else:
        lines.append("the GIL is free")
    for thread in sorted(state["threads"], key=lambda one: not one["holds"]):
        name = thread["name"] or "thread"
        lines.append(f"{name} {thread['native_id']}{': holds the GIL' if thread['holds'] else ''}")
        frames = thread["frames"]
        if frames is not None:
            frames = [(frame["function"], frame["file"], frame["line"]) for frame in frames]
        lines += stack_lines(frames, "    ")
    return lines


def record(words: Sequence[str]) -> None:
    """Measure a process for some time, and print the report that run prints of a program."""
    parser = _parser("record", record.__doc__ or "")
    parser.add_argument("--seconds", type=_seconds, default=5.0, help="how long (5)")
    parser.add_argument("--interval-micros", type=_micros, default=1000, help="of looks (1000)")
    parser.add_argument("--json", metavar="FILE", help="write the report to FILE too, as JSON")
    parser.add_argument("--collapsed", metavar="FILE", help="write the stacks to FILE, by µs held")
    options = parser.parse_args(words)
    files = output_files({"--json": options.json, "--collapsed": options.collapsed})
    target = _target(options.pid)
    with OutsideMeter(target, options.interval_micros) as meter:
        try:
            ended = meter.wait(options.seconds)
        except KeyboardInterrupt:
            ended = False
    _report(meter, ended, options.pid, files)


def _report(meter: OutsideMeter, ended: bool, pid: int, files: Mapping[str, File]) -> None:
    from gilknocker.commands.report_file import content
    from gilknocker.reports.words import text

    snapshot, program = meter.snapshot(), ["process", str(pid)]
    stacks = [(stack.thread, stack.frames, stack.ticks) for stack in meter.stacks()]
    print(text(snapshot, program=program), end="")
    if stacks:
        print("  where it was held:")
        print("\n".join(f"  {line}" for line in function_lines(stacks)))
    if ended:
        print(f"  Note: process {pid} has ended.")
    texts: dict[str, Callable[[], str]] = {
        "--json": lambda: content(snapshot, program, 0),
        "--collapsed": lambda: collapsed(stacks, meter.interval_ns),
    }
    for option, file in files.items():
        written = texts[option]().encode()
        try:
            file.write(lambda out, written=written: out.write(written))  # type: ignore[misc]
        except OSError as error:
            raise UsageError(f"{option} cannot write {file.path!r}: {error.strerror}") from None


def top(words: Sequence[str]) -> None:
    """Print each second how busy the GIL is, who holds it, and where. Ctrl-C ends it."""
    parser = _parser("top", top.__doc__ or "")
    parser.add_argument("--interval-micros", type=_micros, default=1000, help="of looks (1000)")
    options = parser.parse_args(words)
    target = _target(options.pid)
    print(_title(target))
    clear = "\x1b[H\x1b[2J" if sys.stdout.isatty() else ""
    with OutsideMeter(target, options.interval_micros) as meter:
        before: dict[str, Any] = meter.read()
        try:
            while not meter.wait(_TOP_SECONDS):
                now = meter.read()
                print(clear + "\n".join(_second(target, meter, before, now)), flush=True)
                before = now
        except KeyboardInterrupt:
            return
    print(f"process {options.pid} has ended")


def _second(
    target: Target, meter: OutsideMeter, before: dict[str, Any], now: dict[str, Any]
) -> list[str]:
    ticks = now["ticks"] - before["ticks"]
    held = now["ticks_held"] - before["ticks_held"]
    share = format_percent(held / ticks) if ticks else "?"
    seen = {(row[0], tuple(row[3])): row[4] for row in before["stacks"]}
    window = [
        (meter.name(row[2], row[0]), row[3], row[4] - seen.get((row[0], tuple(row[3])), 0))
        for row in now["stacks"]
    ]
    window = [row for row in window if row[2] > 0]
    lines = [f"{time.strftime('%H:%M:%S')}  GIL held {share} %  ({ticks} looks)"]
    if sys.stdout.isatty():
        lines.insert(0, _title(target))
    threads: dict[str, int] = {}
    for name, _, count in window:
        threads[name] = threads.get(name, 0) + count
    for name, count in sorted(threads.items(), key=lambda row: -row[1])[:5]:
        lines.append(f"{format_percent(count / held) if held else '0.0':>6} %  by {name}")
    lines += function_lines(window)
    return lines


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {"dump": dump, "record": record, "top": top}
