"""What does counting cost? Beside gilknocker 0.4, and beside version 1.0, which looked or traced.

    python benchmarks/counting.py --previous DIR [--python python3.12] [PART...]

DIR is a checkout of version 1.0. Environments with this checkout, with that one and with the
registry's gilknocker 0.4 are made; each measurement is a process of its own, in turn, and medians
are compared. The parts, all by default: `cpu`, of an idle process; `pair`, what a release and
acquire of the GIL takes longer; `first`, importing and making the first knocker, and starting it
too; `program`, what a program takes longer. Exits with 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from cost import Verdicts
from steal import StealTime
from versus import POLLINGS_MICROS, Bench, about, set_up

# Of the slowest schedule that is compared: ten knocks 10 ms apart in each 2 s, in both packages. A
# window is some of them, whole, or it would have one burst or two, as it happens.
PERIOD_SECONDS = 2

# Timed within: what the start of a process takes beside it differs by more. It ends at once, for
# the original waits 0.1 s for its thread and may abort then.
FIRST = """
import os, time
begin = time.perf_counter()
from gilknocker import KnockKnock
knocker = KnockKnock(polling_interval_micros=1000)
made = time.perf_counter()
knocker.start()
print(1e3 * (made - begin), 1e3 * (time.perf_counter() - begin), flush=True)
os._exit(0)
"""


class Benches:
    """The three environments."""

    def __init__(self, python: str, previous: Path, where: Path) -> None:
        self.ours = set_up(python, where, quick=False)
        folder = where / "previous"
        subprocess.run([python, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", previous], check=True)
        self.previous = replace(self.ours, python=folder / "bin" / "python")

    @property
    def pythons(self) -> dict[str, Path]:
        """Those that import each as `gilknocker`."""
        original = self.ours.py_spy.parent / "python"
        return {"ours": self.ours.python, "1.0": self.previous.python, "0.4": original}

    def in_turn(
        self, task: str, figure: str, rounds: int, *arguments: object, original: bool = True
    ) -> dict[str, float]:
        """Return the median of each over so many rounds."""
        runs: dict[str, tuple[Bench, str]] = {
            "ours": (self.ours, "counted"),
            "1.0": (self.previous, "ours"),
        }
        if original:
            runs["0.4"] = (self.ours, str(self.ours.original))
        seen: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, (bench, meter) in runs.items():
                seen[name].append(bench.run(meter, task, *arguments)[figure])
        return {name: statistics.median(values) for name, values in seen.items()}


def cpu(benches: Benches, verdicts: Verdicts, rounds: int) -> None:
    """Compare what the meters take of an idle process, by the names of 0.4."""
    for polling in POLLINGS_MICROS:
        seen = benches.in_turn("own_cpu", "share", rounds, polling, 2 * PERIOD_SECONDS)
        shares = ", ".join(f"{name} {share:.3%}" for name, share in seen.items())
        what = f"own CPU, idle, at {polling} µs: of the original's"
        verdicts.at_most(what, seen["ours"] / seen["0.4"], 1.0, "of it", shares)


def pair(benches: Benches, verdicts: Verdicts, rounds: int) -> None:
    """Compare what a release and acquire takes longer: counted, and traced by version 1.0."""
    seen = benches.in_turn("pair", "longer", rounds, original=False)
    note = f"version 1.0, traced: {seen['1.0']:.1f} ns"
    verdicts.at_most("a release and acquire, counted: longer by", seen["ours"], 10, "ns", note)


def first(benches: Benches, verdicts: Verdicts, rounds: int) -> None:
    """Compare what importing and making the first knocker takes, and with its start."""
    taken: dict[str, list[list[float]]] = {name: [] for name in benches.pythons}
    for _ in range(8 * rounds):
        for name, python in benches.pythons.items():
            done = subprocess.run([python, "-I", "-c", FIRST], check=True, capture_output=True)
            taken[name].append([float(ms) for ms in done.stdout.split()])
    for place, what in enumerate(("the first KnockKnock()", "the same and its start()")):
        typical = {
            name: statistics.median(times[place] for times in runs) for name, runs in taken.items()
        }
        note = ", ".join(f"{name} {ms:.2f} ms" for name, ms in typical.items())
        ratio = typical["ours"] / typical["0.4"]
        verdicts.at_most(f"{what}: of the original's", ratio, 2, "of it", note)


def program(benches: Benches, verdicts: Verdicts, rounds: int) -> None:
    """Compare what `some_gil` takes longer, alone and under both, in one process."""
    bench = benches.ours
    seen = bench.run(str(bench.original), "slowdown", "some_gil", 100, 15 * rounds, "counted")
    low, high = (100 * seen[f"difference_{end}"] for end in ("low", "high"))
    note = f"95 %: {low:+.2f} to {high:+.2f}; {seen['rounds']:.0f} rounds"
    verdicts.at_most(
        "some_gil at 100 µs, over the original", 100 * seen["difference"], 0.5, "%", note
    )


PARTS: Mapping[str, Callable[[Benches, Verdicts, int], None]] = {
    part.__name__: part for part in (cpu, pair, first, program)
}


def main() -> int:
    """Print every figure beside its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--previous", type=Path, required=True, help="a checkout of version 1.0")
    parser.add_argument("--python", default="python3.12", help="where the original runs")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement (5)")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}")
    verdicts = Verdicts()
    with tempfile.TemporaryDirectory() as folder:
        benches = Benches(options.python, options.previous.resolve(), Path(folder))
        print(about(benches.ours))
        steal = StealTime()
        for name in options.parts or PARTS:
            PARTS[name](benches, verdicts, options.rounds)
    print(f"{verdicts.passed} passed, {verdicts.failed} failed; steal time {steal.share():.1%}")
    return 1 if verdicts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
