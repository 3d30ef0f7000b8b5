"""What does the pytest plugin cost? Empty tests without it, with it, and with --gilknocker.

    python benchmarks/plugin_cost.py [--tests 2000] [--rounds 15]

Runs are interleaved, and minima compared: the machine's noise only ever adds. Each run is a process
of its own, its start included. Exits with 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

WAYS = {
    "without the plugin": ["-p", "no:gilknocker"],
    "installed and unused": [],
    "with --gilknocker": ["--gilknocker"],
    "with --gilknocker --gilknocker-method=knock": ["--gilknocker", "--gilknocker-method=knock"],
}
MOST_RATIO = 1.01
MOST_MS = 0.5


def seconds_of(words: list[str], folder: str) -> float:
    """Run pytest, and return how long it took."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if "no:gilknocker" not in words:
        command += ["-p", "gilknocker.pytest_plugin"]
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> int:
    """Print what each way takes, and whether that is within its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tests", type=int, default=2000, help="empty ones (2000)")
    parser.add_argument("--rounds", type=int, default=15, help="of each way (15)")
    options = parser.parse_args()
    print(describe())
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        tests = "\n".join(f"def test_{n}(): pass" for n in range(options.tests))
        Path(folder, "test_empty.py").write_text(tests + "\n")
        for _ in range(options.rounds):
            for way, words in WAYS.items():
                times[way].append(seconds_of(words, folder))
    bare = min(times["without the plugin"])
    good = True
    for way, seconds in times.items():
        ratio, ms = min(seconds) / bare, 1e3 * (min(seconds) - bare) / options.tests
        within = ratio <= MOST_RATIO if not WAYS[way] else ms <= MOST_MS
        good &= within
        print(
            f"{'ok  ' if within else 'FAIL'} {way:45} {min(seconds):6.3f} s  ratio {ratio:.4f}  "
            f"{1e3 * ms:+7.1f} us a test"
        )
    print(f"bounds: unused <= {MOST_RATIO}, measured <= {1e3 * MOST_MS:g} us a test")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
