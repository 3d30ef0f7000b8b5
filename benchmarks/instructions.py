"""How many instructions do a look, a knock and a snapshot take? Counted, so that noise is none.

    python benchmarks/instructions.py [--python python3.12]

Builds the package with its symbols into an environment of its own, and runs a program under
``valgrind --tool=callgrind``, which runs one thread at a time: waiting and waking are not counted,
nor the kernel's part of anything, reading the clock included. A knock includes CPython's own taking
and dropping of the GIL, a take or drop the C library's signal to who waits.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from machine import describe

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = """
import sys, time
from gilknocker import GilTracer, KnockKnock
def hand_over():
    for _ in range(20_000):
        time.sleep(0)
match sys.argv[1]:
    case "meter":
        with KnockKnock(1000, knock_interval_micros=1000, method="look") as knocker:
            time.sleep(3)
            for _ in range(200):
                knocker.snapshot()
    case "count":
        with KnockKnock(1_000_000, knock_interval_micros=1_000_000, method="count"):
            hand_over()
    case "sums":
        with GilTracer(0):
            hand_over()
    case "events":
        with GilTracer(100_000):
            hand_over()
"""
HOOK = r"gilknocker::gil_hooks::.*signal_hook\("
# What is counted, in which part of the program, and how callgrind calls it.
FUNCTIONS = {
    "a look, with all that the watcher does at a tick": (
        "meter",
        r"gilknocker::Watcher::wake\(long\)",
    ),
    "a knock, with all that the knocker does": ("meter", r"gilknocker::Knocker::wake\(long\)"),
    "a snapshot, the C++ part": ("meter", r"gilknocker::Ledger::read\("),
    "a counted take or drop of the GIL": ("count", HOOK),
    "a traced take or drop, sums": ("sums", HOOK),
    "a traced take or drop, events": ("events", HOOK),
}


def set_up(python: str, where: Path) -> Path:
    """Make an environment with the package, symbols kept; return its Python."""
    subprocess.run([python, "-m", "venv", where], check=True)
    environment = {**os.environ, "GILKNOCKER_SYMBOLS": "1"}
    subprocess.run([where / "bin" / "pip", "install", "-q", ROOT], check=True, env=environment)
    return where / "bin" / "python"


def profile(python: Path, output: Path, part: str) -> str:
    """Run a part of the program; return callgrind's tables of what each function called."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", "-q"]
    subprocess.run([*command, python, "-P", "-c", PROGRAM, part], check=True)
    annotate = ["callgrind_annotate", "--inclusive=yes", "--tree=caller", "--threshold=100"]
    done = subprocess.run([*annotate, output], check=True, capture_output=True, text=True)
    return done.stdout


def instructions_per_call(tables: str, function: str) -> tuple[float, int]:
    """Return how many instructions a call took, on average, and how many calls there were.

    A caller stands above the function, with how many instructions the calls took and how many
    there were: ``1,234 (0.12%)  < file:caller (56x) [object]``, ``1,234 (0.12%)  * file:function``.
    """
    total = calls = 0
    pending: list[tuple[int, int]] = []
    for line in tables.splitlines():
        caller = re.match(r"\s*([\d,]+) .*<\s.*\(([\d,]+)x\)", line)
        if caller:
            instructions, count = (int(group.replace(",", "")) for group in caller.groups())
            pending.append((instructions, count))
            continue
        if re.search(rf"\*\s.*{function}", line):
            total += sum(instructions for instructions, _ in pending)
            calls += sum(count for _, count in pending)
        pending = []
    return total / calls if calls else float("nan"), calls


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("instructions.py needs valgrind (Debian: apt-get install valgrind)", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        python = set_up(options.python, Path(folder, "environment"))
        parts = {part for part, _ in FUNCTIONS.values()}
        tables = {part: profile(python, Path(folder, part), part) for part in parts}
    print(describe())
    for what, (part, function) in FUNCTIONS.items():
        each, calls = instructions_per_call(tables[part], function)
        print(f"{what:<50}{each:8.0f} instructions (mean of {calls} calls)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
