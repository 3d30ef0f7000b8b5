"""Whose code held the GIL, by us and by samplers from outside: error of shares, and slowdown.

    python benchmarks/samplers.py [--seconds 4] [--rounds 3]

The program of benchmarks/stacks.py, one thread, in a process of its own: alone, by `gilknocker run
--stacks`, by `py-spy record --gil` where that is installed, and from Python 3.15 on by
`profiling.sampling --mode=gil`: by turns, each looking 1,000 times a second. Prints for each the
median of the rounds: the largest error of a function's share of the time held, and by how much
fewer rounds of work were done than alone. Exits with 1 if ours is worse than another in either, by
more than the noise of the rounds alone (their range).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from machine import describe
from steal import StealTime

PROGRAM = Path(__file__).with_name("samplers_program.py")
RATE = 1_000


def commands(out: Path, seconds: float) -> dict[str, list[str]]:
    """Return what runs the program, by its name."""
    program = [str(PROGRAM), str(seconds)]
    found = {
        "alone": [sys.executable, *program],
        "gilknocker": [
            *(sys.executable, "-m", "gilknocker", "run", "--stacks"),
            *("--collapsed", str(out), *program),
        ],
    }
    spy = Path(sys.executable).with_name("py-spy")
    if path := str(spy) if spy.exists() else shutil.which("py-spy"):
        found["py-spy"] = [
            *(path, "record", "--gil", "--rate", str(RATE), "--format", "raw"),
            *("--output", str(out), "--", sys.executable, *program),
        ]
    if sys.version_info >= (3, 15):
        found["profiling.sampling"] = [
            *(sys.executable, "-m", "profiling.sampling", "run", "--mode=gil", "-r", "1khz"),
            *("--collapsed", "-o", str(out), *program),
        ]
    return found


def shares(collapsed: str, names: set[str]) -> dict[str, float]:
    """Return each function's share of the samples that are of any of them."""
    seen: Counter[str] = Counter()
    for line in collapsed.splitlines():
        stack, _, count = line.rpartition(" ")
        for name in names:
            # "name (file:line)" of two of them, "file:name:line" of the third
            if f"{name} (" in stack or f":{name}:" in stack:
                seen[name] += int(count)
    total = max(sum(seen.values()), 1)
    return {name: seen[name] / total for name in names}


def run(command: list[str], out: Path) -> tuple[float, float]:
    """Return the largest error of a share (0 alone), and the rounds of work."""
    out.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=os.sep)
    told = next((line for line in done.stdout.splitlines() if line.startswith("{")), None)
    if told is None:
        raise SystemExit(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    truth = json.loads(told)
    if not out.exists():
        return 0.0, truth["rounds"]
    found = shares(out.read_text(), set(truth["shares"]))
    return max(abs(found[name] - share) for name, share in truth["shares"].items()), truth["rounds"]


def main() -> int:
    """Run all by turns and print a line for each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    steal = StealTime()
    runs: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "collapsed"
        for _ in range(asked.rounds):
            for name, command in commands(out, asked.seconds).items():
                runs.setdefault(name, []).append(run(command, out))
    print(describe())
    alone = [rounds for _, rounds in runs.pop("alone")]
    bare = statistics.median(alone)
    noise = (max(alone) - min(alone)) / bare
    figures = {
        name: (
            statistics.median(error for error, _ in found),
            1 - statistics.median(rounds for _, rounds in found) / bare,
        )
        for name, found in runs.items()
    }
    for name, (error, slowdown) in figures.items():
        print(f"{name}: error of shares {error:.3f}, slowdown {slowdown:.1%}")
    print(f"rounds alone differ by {noise:.1%}; steal time {steal.share():.1%}")
    error, slowdown = figures.pop("gilknocker")
    worse = [
        name
        for name, (its_error, its_slowdown) in figures.items()
        if error > its_error + noise or slowdown > its_slowdown + noise
    ]
    print(f"worse than {', '.join(worse)}" if worse else "nowhere worse")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
