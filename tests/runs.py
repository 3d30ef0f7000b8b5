"""Programs run plainly and under `gilknocker run`: what the runner's tests share."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TIMEOUT = 300
RUN = ("-m", "gilknocker", "run")


class Outcome(NamedTuple):
    """How a process ended and what it printed; `report` is ours, cut off from its stderr."""

    returncode: int
    stdout: str
    stderr: str
    report: str = ""


def python(
    *arguments: str | Path,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str = "",
) -> Outcome:
    """Run the interpreter under test, without colours in tracebacks."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def command(*words: str) -> Outcome:
    """Run a command of `gilknocker` that only answers."""
    return python("-m", "gilknocker", *words)


def run_strictly(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a piece of code with warnings as errors."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def environment(**extra: str) -> dict[str, str]:
    """Return an environment without what changes how Python prints: buffering, colours."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", **extra}


def split(outcome: Outcome) -> Outcome:
    """Cut the report off the end of stderr."""
    lines = outcome.stderr.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.startswith("gilknocker: ") and " of " in line:
            own, report = "".join(lines[:number]), "".join(lines[number:])
            return outcome._replace(stderr=own, report=report)
    return outcome


def metered(
    *program: str | Path,
    flags: Sequence[str] = (),
    options: Sequence[str] = (),
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: str = "",
) -> Outcome:
    """Run a program under the meter."""
    return split(python(*flags, *RUN, *options, *program, cwd=cwd, env=env, stdin=stdin))
