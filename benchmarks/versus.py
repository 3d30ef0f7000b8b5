"""Ours beside the original: accuracy, slowdown, latencies, exits. One command, one page.

    python benchmarks/versus.py [--python python3.12] [--quick] [--output docs/versus.md]

Makes an environment with this checkout and one with the registry's gilknocker 0.4 and py-spy, on a
Python where the original runs (3.12), and measures both in turn, each measurement in a process of
its own. The page is rewritten only when everything has run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steal import StealTime

ROOT = Path(__file__).resolve().parent.parent
WORKER = ROOT / "benchmarks" / "versus_worker.py"
LOADS = ((5, 45), (5, 5), (20, 5), (500, 500), (900, 100), (50_000, 50_000))
INTERVALS_MICROS = (100, 1_000, 10_000, 100_000)
TORTURES = (("hold", 1), ("hold", 4), ("hold", 15), ("loop", 10))
WORKLOADS = ("a_lotta_gil", "some_gil", "a_little_gil", "crc32_of_6_kb")
POLLINGS_MICROS = (100, 1_000, 10_000)
SLOWDOWN_SECONDS = 60
PY_SPY_RATE = 200
# Nothing of the caller's own environment may stand in for what was installed.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@dataclass(frozen=True)
class Bench:
    """The two environments, and how long to measure."""

    python: Path
    original: Path
    py_spy: Path
    quick: bool

    @property
    def meters(self) -> dict[str, str]:
        """The names of the meters, and what the worker calls them."""
        return {"ours": "ours", "original": str(self.original)}

    def run(self, meter: str, task: str, *arguments: object) -> dict[str, float]:
        """Measure something in a process of its own."""
        command = [str(self.python), str(WORKER), meter, task, *map(str, arguments)]
        # The original may abort when the interpreter exits: its answer has been printed by then.
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        if not done.stdout:
            raise RuntimeError(f"{' '.join(command)} said nothing:\n{done.stderr}")
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    def both(self, task: str, *arguments: object) -> dict[str, dict[str, float]]:
        """Measure something with one meter after the other."""
        return {name: self.run(meter, task, *arguments) for name, meter in self.meters.items()}

    def rounds(self, many: int) -> int:
        """Return how often to repeat something."""
        return max(many // 5, 1) if self.quick else many


def set_up(python: str, where: Path, quick: bool) -> Bench:
    """Make the two environments."""
    environments = {"ours": [str(ROOT)], "original": ["gilknocker==0.4.*", "numpy", "py-spy"]}
    for name, packages in environments.items():
        subprocess.run([python, "-m", "venv", where / name], check=True)
        subprocess.run([where / name / "bin" / "pip", "install", "-q", *packages], check=True)
    [original] = where.glob("original/lib/python3*/site-packages/gilknocker/*.so")
    return Bench(
        where / "ours" / "bin" / "python", original, where / "original" / "bin" / "py-spy", quick
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def py_spy_fraction(bench: Bench, held: int, free: int, seconds: float) -> tuple[float, float]:
    """Return py-spy's share of samples with the GIL, of a load that it runs, and the truth."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw")
        command = [bench.py_spy, "record", "--gil", "--format", "raw", "--rate", str(PY_SPY_RATE)]
        command += ["--output", raw, "--", bench.python, WORKER, "none", "load_only"]
        command += [str(held), str(free), str(seconds)]
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        answer = json.loads(next(line for line in done.stdout.splitlines() if line[:1] == "{"))
        # Not what the process did before and after: only the load's own thread.
        samples = sum(
            int(stack.rsplit(" ", 1)[1])
            for stack in raw.read_text().splitlines()
            if "gilknocker/testing.py" in stack or "(testing.py" in stack
        )
    return samples / (PY_SPY_RATE * answer["seconds"]), answer["truth"]


def accuracy(bench: Bench) -> Iterator[str]:
    """Compare the metrics with the oracle."""
    rows = []
    meters = {"ours": "ours", "ours, looking": "looked", "original": str(bench.original)}
    errors: dict[str, list[float]] = {name: [] for name in (*meters, "our tracer")}
    for held, free in LOADS:
        spied, spied_truth = py_spy_fraction(bench, held, free, 2 if bench.quick else 5)
        traced = bench.run("ours", "trace", held, free, 2)
        errors["our tracer"].append(abs(traced["metric"] - traced["truth"]))
        for interval in INTERVALS_MICROS:
            seconds = max(
                1.0 if bench.quick else 2.0, 100 * interval / 1e6 if not bench.quick else 0
            )
            seen = {
                name: bench.run(meter, "accuracy", held, free, interval, seconds)
                for name, meter in meters.items()
            }
            for name, one in seen.items():
                errors[name].append(abs(one["metric"] - one["truth"]))
            rows.append(
                [f"{held} / {free}", f"{interval / 1000:g}"]
                + [f"{one['truth']:.4f} → {one['metric']:.4f}" for one in seen.values()]
                + (
                    [
                        f"{traced['truth']:.4f} → {traced['metric']:.4f}",
                        f"{spied_truth:.3f} → {spied:.3f}",
                    ]
                    if interval == 1_000
                    else ["", ""]
                )
            )
    yield "## Accuracy"
    yield (
        "Truth (the oracle's, of the same run) → what was read. A load holds the GIL for so many "
        "microseconds and is without it for so many. Ours: `KnockKnock(interval)`, which counts. "
        'Looking: with `method="look"`, as where holds cannot be counted. The original: the same '
        "call. Our tracer: `GilTracer()`, which has no interval, over the oracle. "
        f"py-spy: `record --gil --rate {PY_SPY_RATE}` on its own child."
    )
    yield table(["held / free, µs", "interval, ms", *meters, "our tracer", "py-spy"], rows)
    yield "; ".join(
        f"{name}: median error {statistics.median(values):.4f}, worst {max(values):.4f}"
        for name, values in errors.items()
    )


def tortures(bench: Bench) -> Iterator[str]:
    """Repeat what dask/distributed#8557 reported."""
    rows = []
    for what, seconds in TORTURES:
        if bench.quick and seconds > 4:
            continue
        seen = bench.both("torture", what, seconds)
        name = (
            f"C code holds the GIL for {seconds} s"
            if what == "hold"
            else f"a Python loop, {seconds} s"
        )
        rows.append(
            [name, *(f"{one['share']:.1%} (highest {one['highest']:.2f})" for one in seen.values())]
        )
    yield "## A GIL that is held all the time"
    yield (
        "Contention seconds as dask.distributed adds them up (metric times time since the last "
        "reading, then reset, every 500 ms), as a share of the time; truth: 100 %."
    )
    yield table(["what", "ours", "original"], rows)


def slowdowns(bench: Bench) -> Iterator[str]:
    """Compare what the meters cost the program."""
    rows = []
    for workload in WORKLOADS:
        for polling in POLLINGS_MICROS:
            seen = bench.run(
                str(bench.original), "slowdown", workload, polling, bench.rounds(SLOWDOWN_SECONDS)
            )
            cells = (
                f"{seen[name]:+.1%} ({seen[f'{name}_low']:+.1%} to {seen[f'{name}_high']:+.1%})"
                for name in ("ours", "original", "difference")
            )
            rows.append([workload, str(polling), *cells, f"{seen['rounds']:.0f}"])
    yield "## Slowdown"
    yield (
        "`KnockKnock(polling_interval_micros=N)` on both sides. In one process, in random order: "
        "the program alone, with ours, with the original, so many rounds; medians of the ratios "
        "within a round, with 95 % intervals."
    )
    yield table(["program", "N", "ours", "original", "ours over the original", "rounds"], rows)


def own_cpu(bench: Bench) -> Iterator[str]:
    """Compare what the meters take themselves."""
    rows = []
    for polling in POLLINGS_MICROS:
        seen = bench.both("own_cpu", polling, 1 if bench.quick else 3)
        cells = (f"{one['share']:.2%} ({one['wakes']:.0f}/s)" for one in seen.values())
        rows.append([str(polling), *cells])
    yield "## Own CPU"
    yield (
        "In an idle process, share of a core, and how often the meter's threads woke. Ours "
        "wakes up for its knocks, and counts without:"
    )
    yield table(["N", "ours", "original"], rows)


def exits(bench: Bench, meter: str, count: int) -> str:
    """Count the interpreter exits with a running knocker that did not end well."""
    command = [bench.python, WORKER, meter, "leave_running"]
    codes = [
        subprocess.run(command, capture_output=True, env=ENVIRONMENT).returncode
        for _ in range(count)
    ]
    return f"{sum(code != 0 for code in codes)} of {count} crashed"


def import_milliseconds(bench: Bench) -> dict[str, float]:
    """Return what importing KnockKnock adds to the interpreter's start: medians, interleaved."""
    original = bench.py_spy.parent / "python"
    codes = {
        "bare": (bench.python, "pass"),
        "ours": (bench.python, "from gilknocker import KnockKnock"),
        "original": (original, "from gilknocker import KnockKnock"),
    }
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(bench.rounds(40)):
        for name, (python, code) in codes.items():
            begin = time.perf_counter()
            subprocess.run([python, "-I", "-c", code], check=True)
            times[name].append((time.perf_counter() - begin) * 1e3)
    bare = statistics.median(times["bare"])
    return {name: statistics.median(times[name]) - bare for name in ("ours", "original")}


def the_rest(bench: Bench) -> Iterator[str]:
    """Compare latencies, exits and memory."""
    seen = bench.both("latency", bench.rounds(50))
    imports = import_milliseconds(bench)
    rows = [
        [f"`{call}()`, median", *(f"{one[call]:.0f} µs" for one in seen.values())]
        for call in ("start", "stop")
    ]
    rows.append(
        ["`from gilknocker import KnockKnock`", *(f"{ms:.1f} ms" for ms in imports.values())]
    )
    count = bench.rounds(100)
    rows.append(
        ["interpreter exits with a running knocker"]
        + [exits(bench, meter, count) for meter in bench.meters.values()]
    )
    many = bench.run("ours", "memory", 10_000_000, 20 if bench.quick else 300)
    few = bench.run(str(bench.original), "memory", 10_000_000, 20)
    rows.append(
        [
            "memory grown over many knocks",
            f"{many['grown_kib']:.0f} KiB, {many['knocks'] / 1000000.0:.1f} million knocks",
            f"{few['grown_kib']:.0f} KiB in {few['seconds']:.0f} s of polling at 1 µs",
        ]
    )
    yield "## Latencies, exits, memory"
    yield table(["what", "ours", "original"], rows)


PARTS: tuple[Callable[[Bench], Iterator[str]], ...] = (
    accuracy,
    tortures,
    slowdowns,
    own_cpu,
    the_rest,
)


def about(bench: Bench) -> str:
    """Name machine and versions, as the environment with ours sees them."""
    code = "import machine; print(machine.describe())"
    environment = ENVIRONMENT | {"PYTHONPATH": str(ROOT / "benchmarks")}
    done = subprocess.run(
        [bench.python, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    spied = subprocess.run([bench.py_spy, "--version"], capture_output=True, text=True, check=True)
    return f"{done.stdout.strip()}; the original: gilknocker 0.4; {spied.stdout.strip()}"


def main() -> None:
    """Measure everything, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default="python3.12", help="where the original runs")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "versus.md")
    parser.add_argument("--quick", action="store_true", help="a fifth of the time, rough figures")
    options = parser.parse_args()
    if shutil.which(options.python) is None:
        parser.error(f"--python: no {options.python} here")
    with tempfile.TemporaryDirectory() as folder:
        bench = set_up(options.python, Path(folder), options.quick)
        page = ["# Beside the original", f"Written by `benchmarks/versus.py`: {about(bench)}."]
        for part in PARTS:
            steal = StealTime()
            for block in part(bench):
                print(block, end="\n\n", flush=True)
                page.append(block)
            page.append(f"Steal time meanwhile: {steal.share():.1%} of all CPU time.")
    options.output.write_text("\n\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
