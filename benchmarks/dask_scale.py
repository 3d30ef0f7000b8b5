"""What a thousand workers' heartbeats cost a Dask scheduler: time to merge, memory, bytes.

    .venv/bin/python benchmarks/dask_scale.py        (needs gilknocker[dask])

The workers are made up, the heartbeats are real: of waits that are as widespread as one sees, and
of such that fill every bucket there is. They come to the scheduler as Dask sends them, packed and
unpacked, again and again. Minima of rounds. Fails where a bound of ours is not kept.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from distributed.protocol import dumps, loads
from distributed.scheduler import heartbeat_interval
from machine import describe
from steal import StealTime

from gilknocker.integrations.dask.heartbeats import heartbeat
from gilknocker.integrations.dask.scheduler import GilSchedulerPlugin
from gilknocker.snapshot.histogram import WaitHistogram, bucket_bounds, bucket_of

WORKERS = 1_000
ROUNDS = 5
MOST_MS = 2.0  # to merge one heartbeat
MOST_KIB = 16.0  # that the scheduler keeps of one worker


class MadeUp:
    """What a worker would have measured in a day or so."""

    def __init__(self, histogram: WaitHistogram) -> None:
        self.histogram = histogram
        self.knocks = histogram.total_count
        self.observed_seconds, self.wait_max_ns = 86_400.123456, 10**10

    def snapshot(self) -> Any:
        return self

    def held_seconds(self, total: Any) -> float:
        return random.random() * 86_400


def usual() -> MadeUp:
    """Return one with waits from a tenth of a µs to a tenth of a second."""
    buckets = sorted({bucket_of(round(10 ** random.uniform(2, 8))) for _ in range(2_000)})
    counts = [(*bucket_bounds(bucket), random.randrange(1, 10_000)) for bucket in buckets]
    return MadeUp(WaitHistogram.from_buckets(counts))


def worst() -> MadeUp:
    """Return one with very many waits in every bucket there is."""
    most = bucket_of(2**63 - 1)
    counts = [(*bucket_bounds(bucket), 10**11) for bucket in range(most + 1)]
    return MadeUp(WaitHistogram.from_buckets(counts))


def sent(number: int, totals: MadeUp) -> dict[str, Any]:
    """Return a heartbeat's part as it comes out of Dask's protocol."""
    beat = heartbeat(f"{number:032x}", totals)  # type: ignore[arg-type]
    unpacked: dict[str, Any] = loads(dumps({"gil": beat}))["gil"]
    return unpacked


def least(call: Callable[[], object], times: int = ROUNDS) -> float:
    """Return the seconds of the quickest call."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def scheduler_of(kind: Callable[[], MadeUp]) -> tuple[GilSchedulerPlugin, dict[str, Any]]:
    """Return a plugin that knows of `WORKERS` workers, and their states."""
    states = {f"tcp://10.0.0.1:{n}": SimpleNamespace(metrics={}) for n in range(WORKERS)}
    plugin = GilSchedulerPlugin()
    asyncio.run(plugin.start(SimpleNamespace(workers=states)))
    some = [kind() for _ in range(10)]
    for number, state in enumerate(states.values()):
        state.metrics = {"gil": sent(number, some[number % 10])}
    return plugin, states


def kibibytes(kind: Callable[[], MadeUp]) -> tuple[float, float]:
    """Return what is kept of a worker after one heartbeat, and after ten more, KiB."""
    some = [kind() for _ in range(10)]
    kept: dict[int, Any] = {}
    tracemalloc.start()
    before, sizes = tracemalloc.get_traced_memory()[0], []
    for beats in (1, 10):
        for _ in range(beats):
            for number in range(100):
                kept[number] = {"gil": sent(number, some[number % 10])}
        sizes.append((tracemalloc.get_traced_memory()[0] - before) / 100 / 1024)
    tracemalloc.stop()
    return sizes[0], sizes[1]


def main() -> None:
    random.seed(1)
    stolen, failed = StealTime(), False
    print(describe())
    for name, kind in (("usual waits", usual), ("every bucket", worst)):
        plugin, _ = scheduler_of(kind)
        one = kind()
        beat = heartbeat(f"{1:032x}", one)  # type: ignore[arg-type]
        packed = dumps({"gil": beat})
        size = sum(map(len, packed))
        milliseconds = least(plugin.totals) * 1e3 / WORKERS
        first, later = kibibytes(kind)
        unpack = least(lambda packed=packed: loads(packed), 50) * 1e6
        told = least(lambda one=one: heartbeat("1", one), 50) * 1e6
        failed |= milliseconds > MOST_MS or later > MOST_KIB
        print(f"{name}: {beat['waits'].count(':')} buckets, {size} bytes sent")
        print(f"  a worker makes it in {told:.0f} µs, the scheduler unpacks it in {unpack:.0f} µs")
        print(f"  merged, when asked, in {milliseconds:.4f} ms each, of {WORKERS} workers")
        print(f"  kept of a worker: {first:.1f} KiB, {later:.1f} KiB after ten more")
        every = heartbeat_interval(10 * WORKERS)
        share = 10 * WORKERS / every * unpack / 1e6
        print(
            f"  10,000 workers, on paper: merged in {10 * WORKERS * milliseconds / 1e3:.2f} s, "
            f"{10 * WORKERS * later / 1024:.0f} MiB;\n"
            f"    each tells every {every:.0f} s, unpacked in {share:.2%} of the scheduler's time"
        )
    print(f"steal {stolen.share():.1%}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
