"""What a tracer keeps of threads that ended: its memory and its snapshot's time, up to a million.

``python benchmarks/many_threads.py [--threads 1000000]``: the time of a snapshot right after other
work, when the processor's caches are warm, and after a rest, as a service that is asked once a
second finds it. The GIL is held meanwhile.
"""

from __future__ import annotations

import _thread
import argparse
import statistics
import time
from collections.abc import Callable

from machine import describe
from steal import StealTime

from gilknocker import GilTracer, Snapshot

MARKS = (1_000, 16_000, 100_000, 200_000, 500_000, 1_000_000)
AT_ONCE = 50
SNAPSHOTS = 15
REST_SECONDS = 0.1


def resident_mib() -> float:
    """Return the process's resident memory in MiB."""
    with open("/proc/self/status", encoding="ascii") as lines:
        kib = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    return kib / 1024


class ShortThreads:
    """Makes threads that end at once, and waits for their ends."""

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self.made = self._ended = 0

    def _end(self) -> None:
        with self._lock:
            self._ended += 1

    def until(self, many: int) -> None:
        """Make more, until there have been that many."""
        while self.made < many:
            for _ in range(AT_ONCE):
                _thread.start_new_thread(self._end, ())
            self.made += AT_ONCE
            while self._ended < self.made:
                time.sleep(0.0002)


def snapshot_ms(snapshot: Callable[[], Snapshot], rest: float) -> float:
    """Return the median time of a snapshot, each after a rest of some seconds, in ms."""
    times = []
    for _ in range(SNAPSHOTS):
        time.sleep(rest)
        begin = time.perf_counter()
        snapshot()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


def main() -> None:
    """Print a line for each number of threads that have ended."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=MARKS[-1])
    wanted = parser.parse_args().threads
    print(describe())
    steal, threads = StealTime(), ShortThreads()
    with GilTracer(0) as tracer:
        for mark in (mark for mark in MARKS if mark <= wanted):
            threads.until(mark)
            warm, rested = (snapshot_ms(tracer.snapshot, rest) for rest in (0, REST_SECONDS))
            print(
                f"{mark:9,} threads ended: {resident_mib():.1f} MiB, a snapshot {warm:.3f} ms, "
                f"after a rest {rested:.3f} ms, {len(tracer.snapshot().holders):,} holders"
            )
    print(f"steal time {steal.share():.1%}")


if __name__ == "__main__":
    main()
