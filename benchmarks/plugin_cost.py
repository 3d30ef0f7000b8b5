"""What does the pytest plugin cost? Empty tests without it, with it, and with --gilknocker.

    python benchmarks/plugin_cost.py [--tests 2000] [--rounds 15]

Runs are interleaved, and minima compared: the machine's noise only ever adds. Each run is a process
of its own, its start included. What is unused is judged by CPU time, which a busy machine changes
less; what measures by elapsed time. Exits with 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

from machine import describe

WAYS = {
    "without the plugin": ["-p", "no:gilknocker"],
    "installed and unused": [],
    "with --gilknocker": ["--gilknocker"],
    "with --gilknocker --gilknocker-method=knock": ["--gilknocker", "--gilknocker-method=knock"],
}
MOST_RATIO = 1.01
MOST_MS = 0.5


def seconds_of(words: list[str], folder: str) -> tuple[float, float]:
    """Run pytest, and return how long it took: elapsed, and CPU time."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if "no:gilknocker" not in words:
        command += ["-p", "gilknocker.pytest_plugin"]
    before, begin = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    elapsed, after = time.perf_counter() - begin, getrusage(RUSAGE_CHILDREN)
    return elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print what each way takes, and whether that is within its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=2000, help="empty ones (2000)")
    parser.add_argument("--rounds", type=int, default=15, help="of each way (15)")
    options = parser.parse_args()
    print(describe())
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        tests = "\n".join(f"def test_{n}(): pass" for n in range(options.tests))
        Path(folder, "test_empty.py").write_text(tests + "\n")
        for number in range(options.rounds):
            ways = list(WAYS.items())
            first = number % len(ways)  # none always comes after the same other one
            for way, words in ways[first:] + ways[:first]:
                times[way].append(seconds_of(words, folder))
    least = {
        way: [min(column) for column in zip(*runs, strict=True)] for way, runs in times.items()
    }
    bare_elapsed, bare_cpu = least["without the plugin"]
    good = True
    for way, (elapsed, cpu) in least.items():
        ratio, ms = cpu / bare_cpu, 1e3 * (elapsed - bare_elapsed) / options.tests
        within = ratio <= MOST_RATIO if not WAYS[way] else ms <= MOST_MS
        good &= within
        print(
            f"{'ok  ' if within else 'FAIL'} {way:45} {elapsed:6.3f} s, CPU {cpu:6.3f} s "
            f"(ratio {ratio:.3f}); {1e3 * ms:+7.1f} µs a test"
        )
    print(f"bounds: CPU unused <= {MOST_RATIO}, measured <= {1e3 * MOST_MS:g} µs a test")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
