"""Torture: try each fault again and again, and print a table of what survived.

``run.py --seed N --count N [--tracers] [--original PYTHON] [--output FILE] [FAULT...]``. Each try
is a process of its own: it must end with the status that was asked for, say nothing, and leave
nothing running. The exit status is 1 if one of ours did not. A failure is told as soon
as it is seen, with what the life said, and repeated by ``life.py FAULT SEED TRACERS``.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from faults import FAULTS
from waiting_line import stood_in_line

SECONDS = 60  # that one may take: most take 0.2
MOST_TIMES = 10  # it may have these seconds again, while the machine has no CPU for it
LAST_WORDS_SECONDS = 5  # in which one that hung may say where
SLOW_STARTS = 80  # of the original: each of its stops may take 0.1 s
MOST_TOLD = 3  # failures of one fault, with what they said
MOST_SAID = 4000  # characters of what a life said
LIFE = Path(__file__).with_name("life.py")
BEGIN, END = "<!-- torture -->", "<!-- /torture -->"  # of the table, in a page


class Ended(NamedTuple):
    """How one life ended: `problem` is empty where it survived."""

    seed: int
    problem: str
    said: str = ""


class Tried(NamedTuple):
    """All lives of one fault."""

    name: str
    ends: list[Ended]
    skipped: str = ""

    @property
    def failures(self) -> list[Ended]:
        """Those that did not survive."""
        return [end for end in self.ends if end.problem]

    def cells(self) -> tuple[str, str]:
        """How often tried, how often survived."""
        if self.skipped:
            return "not tried", self.skipped
        return str(len(self.ends)), str(len(self.ends) - len(self.failures))


def live(python: str, name: str, seed: int, tracers: bool, *, strict: bool) -> Ended:
    """Run one life; `strict` where nothing may be said on stderr either."""
    fault = FAULTS[name]
    filters = ["-W", "error"] if strict else []
    command = [python, "-B", "-X", "faulthandler", *filters, str(LIFE), name, str(seed)]
    with subprocess.Popen(
        [*command, str(int(tracers))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            said, words = _heard(process)
        except subprocess.TimeoutExpired:
            return Ended(seed, "hung", _where(process))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its children, where it failed
    if process.returncode != fault.status:
        return Ended(seed, f"status {process.returncode}, not {fault.status}", words)
    if strict and (
        said or not words.endswith(fault.last_words) or bool(words) != bool(fault.last_words)
    ):
        return Ended(seed, "it said something", said + words)
    return Ended(seed, "")


def _heard(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Wait for its end, longer while it stands in line for a CPU; return what it said."""
    for times in range(1, MOST_TIMES):
        try:
            return process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            if not stood_in_line(process.pid, times * SECONDS):
                raise
    return process.communicate(timeout=SECONDS)


def _where(process: subprocess.Popen[str]) -> str:
    """Let one that hangs, and its children, say where: faulthandler does at SIGABRT."""
    os.killpg(process.pid, signal.SIGABRT)
    try:
        said, words = process.communicate(timeout=LAST_WORDS_SECONDS)
    except subprocess.TimeoutExpired:
        return "it did not say where"
    return said + words


def try_out(
    python: str, names: list[str], arguments: argparse.Namespace, *, ours: bool
) -> list[Tried]:
    """Try all faults, in the order of the table."""
    count = arguments.count if ours else arguments.original_count or arguments.count
    skipped = {name: _not_here(name, ours) for name in names}  # may fork: before there are threads
    tried = []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for name in names:
            told: list[Ended] = []

            def one(seed: int, name: str = name, told: list[Ended] = told) -> Ended:
                end = live(python, name, seed, arguments.tracers and ours, strict=ours)
                if end.problem:  # told at once: the next one may hang
                    said = end.said[-MOST_SAID:] if len(told) < MOST_TOLD else ""
                    told.append(end)
                    print(f"{name} {seed}: {end.problem}\n{said}", file=sys.stderr, flush=True)
                return end

            seeds = range(arguments.seed, arguments.seed + (0 if skipped[name] else count))
            tried.append(Tried(name, list(pool.map(one, seeds)), skipped[name]))
            bad = len(tried[-1].failures)
            print(f"{name}: {len(seeds)} tried, {bad} bad {skipped[name]}", file=sys.stderr)
    return tried


def _not_here(name: str, ours: bool) -> str:
    if FAULTS[name].only_ours and not ours:
        return "it has no such thing"
    return FAULTS[name].missing()


def table(ours: list[Tried], original: list[Tried]) -> str:
    """Return the table in Markdown."""
    header = ["fault", "tried", "survived"]
    if original:
        header += ["0.4: tried", "0.4: survived"]
    rows = [header, ["---", *["---:"] * (len(header) - 1)]]
    others = {one.name: one for one in original}
    for one in ours:
        row = [FAULTS[one.name].title, *one.cells()]
        rows.append(row + list(others[one.name].cells()) if original else row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main() -> int:
    """Try, print, and say whether all of ours survived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=10, help="tries of each fault")
    parser.add_argument("--tracers", action="store_true", help="trace in every other life")
    parser.add_argument("--starts", type=int, default=1000, help="in one life of that kind")
    parser.add_argument(
        "--forks",
        type=int,
        default=20,
        help="in one life behind Python's back; 0: nor beside threads",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="lives at once")
    parser.add_argument("--original", metavar="PYTHON", help="one that has gilknocker 0.4")
    parser.add_argument("--original-count", type=int, help="tries of each fault there")
    parser.add_argument("--output", type=Path, help="put the table into this page, by its marks")
    arguments = parser.parse_args()
    names = arguments.faults or list(FAULTS)
    if unknown := [name for name in names if name not in FAULTS]:
        parser.error(f"no fault {unknown[0]!r} among: {', '.join(FAULTS)}")
    if arguments.output and not _has_marks(arguments.output):  # before hours of lives
        parser.error(f"--output {arguments.output}: no page with {BEGIN!r} and {END!r} in it")
    os.environ["TORTURE_STARTS"] = str(arguments.starts)
    os.environ["TORTURE_FORKS"] = str(arguments.forks)
    ours = try_out(sys.executable, names, arguments, ours=True)
    original = []
    if arguments.original:
        os.environ["TORTURE_STARTS"] = str(SLOW_STARTS)
        original = try_out(arguments.original, names, arguments, ours=False)
    text = table(ours, original)
    print(text)
    if arguments.output:
        _write(arguments, text)
    return any(one.failures for one in ours)


def _has_marks(page: Path) -> bool:
    if not page.is_file():
        return False
    _, _, rest = page.read_text().partition(f"{BEGIN}\n")
    return bool(rest) and END in rest


def _write(arguments: argparse.Namespace, text: str) -> None:
    """Replace what is between the marks of the page by the command, the machine and the table."""
    command = " ".join(["python tests/torture/run.py", *_flags(arguments)])
    machine = f"CPython {platform.python_version()}, {os.cpu_count()} CPUs, {platform.machine()}"
    before, _, rest = arguments.output.read_text().partition(f"{BEGIN}\n")
    _, _, after = rest.partition(END)
    whole = f"{before}{BEGIN}\n`{command}`\n\n{machine}.\n\n{text}\n{END}{after}"
    arguments.output.write_text(whole)


def _flags(arguments: argparse.Namespace) -> list[str]:
    flags = [f"--seed {arguments.seed}", f"--count {arguments.count}"]
    flags += [f"--starts {arguments.starts}"]
    flags += ["--tracers"] if arguments.tracers else []
    flags += ["--original PYTHON"] if arguments.original else []
    flags += [f"--original-count {arguments.original_count}"] if arguments.original_count else []
    return flags


if __name__ == "__main__":
    sys.exit(main())
