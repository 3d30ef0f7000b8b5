"""The share of time that the GIL is held, seen from outside: by us, py-spy and CPython's sampler.

    python benchmarks/outside_versus.py [--seconds 3] [--pythons PYTHON...] [--py-spy PATH]

The six loads of benchmarks/outside.py, in a process of their own, which traces itself for the truth
and counts the turns that it does. It is left alone and watched by turns: by `gilknocker record`, by
`py-spy record --gil` where that is to be had, and by `profiling.sampling attach --mode=gil` where
this and the target are Python 3.15; each looks 1,000 times a second. Prints for each load how far
each is from the truth, and how many turns fewer the load did than alone; exits with 1 if ours is
worse than another in the mean of all loads: in the error, or in the slowdown by more than the turns
alone differ.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from machine import describe
from outside import LOADS, NOTING, noted, running
from steal import StealTime

from gilknocker import Snapshot

RATE = 1_000


class Seen(NamedTuple):
    """What one of them said, and what was true: shares of time; turns in a second."""

    said: float | None
    held: float
    turns: float


def ours(out: Path, seconds: float) -> float:
    del seconds  # it looked for a little more or less
    return Snapshot.from_dict(json.loads(out.read_text())["snapshot"]).held_fraction or 0.0


def samples(out: Path, seconds: float) -> float:
    """Return which share of the looks found a holder: what is written are their stacks."""
    counts = [int(line.rpartition(" ")[2]) for line in out.read_text().splitlines()]
    return sum(counts) / (seconds * RATE)


def commands(
    pid: int, out: Path, seconds: int, spy: str | None, sampling: bool
) -> dict[str, tuple[list[str], Callable[[Path, float], float]]]:
    """Return how each is run, and how its file is read."""
    python, how_long = sys.executable, str(seconds)
    record = [python, "-m", "gilknocker", "record", "--seconds", how_long, "--json", str(out)]
    found = {"gilknocker": ([*record, str(pid)], ours)}
    if spy:
        words = [spy, "record", "--gil", "--rate", str(RATE), "--duration", how_long]
        words += ["--format", "raw", "--output", str(out), "--pid", str(pid)]
        found["py-spy"] = (words, samples)
    if sampling:
        words = [python, "-m", "profiling.sampling", "attach", "--mode=gil", "-a", "-r", "1khz"]
        words += ["-d", how_long, "--collapsed", "-o", str(out), str(pid)]
        found["profiling.sampling"] = (words, samples)
    return found


def true_of(notes: list[list[int]], since_ns: float) -> tuple[float, float]:
    """Return which share of the time since then the GIL was held, and the turns in a second."""
    notes = [note for note in notes if note[0] >= since_ns]
    (begun, held_before, turns_before), (ended, held, turns) = notes[0], notes[-1]
    return (held - held_before) / (ended - begun), (turns - turns_before) / (ended - begun) * 1e9


def watch_all(
    process: subprocess.Popen[str], words: argparse.Namespace, out: Path, sampling: bool
) -> Iterator[tuple[str, Seen]]:
    """Let all watch a load by turns; yield the name of each with what it saw."""
    tools = commands(process.pid, out, words.seconds, words.py_spy, sampling)
    for name, (command, read) in tools.items():
        noted(process)
        time.sleep(words.seconds)
        yield "alone", Seen(None, *true_of(noted(process), 0))
        out.unlink(missing_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        since = time.monotonic_ns() - words.seconds * 1e9
        if done.returncode or not out.exists():
            raise SystemExit(f"{command} failed:\n{done.stdout}{done.stderr}")
        yield name, Seen(read(out, words.seconds), *true_of(noted(process), since))


def compare(python: str, words: argparse.Namespace) -> bool:
    """Print a line for each load, and the means; whether ours are nowhere worse."""
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    sampling = version == "3.15" == "{}.{}".format(*sys.version_info)
    errors: dict[str, list[float]] = {}
    slower: dict[str, list[float]] = {}
    steal = StealTime()
    with tempfile.TemporaryDirectory() as folder:
        for held, free, sleeps in LOADS:
            with running(python, NOTING, str(held), str(free), str(int(sleeps))) as process:
                time.sleep(0.5)
                seen = list(watch_all(process, words, Path(folder, "out"), sampling))
            bare = [one.turns for name, one in seen if name == "alone"]
            slower.setdefault("alone", []).append((max(bare) - min(bare)) / max(bare))
            told = []
            for name, one in seen:
                if one.said is not None:
                    error = one.said - one.held
                    errors.setdefault(name, []).append(abs(error))
                    slower.setdefault(name, []).append(1 - one.turns / statistics.mean(bare))
                    told.append(f"{name} {error:+.4f}, {slower[name][-1]:+.1%}")
            print(f"     {version:4} {held:6} µs held {free:6} free: {'; '.join(told)}", flush=True)
    noise = statistics.mean(slower.pop("alone"))
    means = {
        name: (statistics.mean(errors[name]), statistics.mean(slower[name])) for name in errors
    }
    error, slowdown = means["gilknocker"]
    good = all(
        error <= their_error and slowdown <= max(theirs, 0) + noise
        for their_error, theirs in means.values()
    )
    told = [f"{name} {one[0]:.4f}, slower by {one[1]:.1%}" for name, one in means.items()]
    print(
        f"{'ok  ' if good else 'FAIL'} {version:4} means: {'; '.join(told)}; "
        f"alone it differs by {noise:.1%}, steal {steal.share():.1%}",
        flush=True,
    )
    return good


def main() -> int:
    """Print the figures and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="for each (3)")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], help="of the targets")
    parser.add_argument("--py-spy", default=shutil.which("py-spy"), help="where it is")
    words = parser.parse_args()
    print(describe())
    return 0 if all([compare(python, words) for python in words.pythons]) else 1


if __name__ == "__main__":
    sys.exit(main())
