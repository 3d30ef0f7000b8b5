"""How long a million events take to be written for the Perfetto UI, and how large they are.

    python benchmarks/trace_file.py

The best of five, into a temporary folder. It must be at most a second;
gzipped, what zlib takes comes on top.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from gilknocker import ThreadTimes
from gilknocker._files import Target
from gilknocker.meters.chrome_trace import write

EVENTS = 1_000_000
LIMIT = 1.0
UPTIME_NS = 400 * 86_400 * 10**9


def main() -> int:
    """Print a line for each kind of file; 1 if one took too long."""
    random = np.random.default_rng(1)
    durations = random.integers(100, 60_000, EVENTS)
    events = np.zeros(EVENTS, [("start", "i8"), ("end", "i8"), ("thread", "u4"), ("kind", "u4")])
    events["end"] = UPTIME_NS + durations.cumsum()
    events["start"] = events["end"] - durations
    events["thread"] = random.integers(0, 8, EVENTS)
    events["kind"] = random.integers(0, 2, EVENTS)
    threads = [ThreadTimes(100 + n, n, f"worker-{n}", False, True, *[0] * 9) for n in range(8)]
    took = {}
    with TemporaryDirectory() as folder:
        for name in ("trace.json", "trace.json.gz"):
            path = Path(folder, name)
            took[name] = min(_seconds(path, events, threads) for _ in range(5))
            print(f"{name:14} {took[name]:.2f} s, {path.stat().st_size / 1e6:.0f} MB")
    kept = took["trace.json"] <= LIMIT
    print(f"at most {LIMIT} s: {'yes' if kept else 'NO'}")
    return int(not kept)


def _seconds(path: Path, events: np.ndarray, threads: list[ThreadTimes]) -> float:
    begun = time.perf_counter()
    write(Target(path), events, threads, UPTIME_NS)
    return time.perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
