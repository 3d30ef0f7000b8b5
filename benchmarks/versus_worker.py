"""One measurement in a process of its own, for versus.py: prints its result as JSON.

    python versus_worker.py METER TASK [ARGUMENT...]

METER is `ours`, `counted` (ours with method="count"), `looked` (with method="look"), `none`, or the
path of the original's extension module, loaded beside ours so that both stand before the same loads
and the same oracle.
"""

from __future__ import annotations

import ctypes
import importlib.util
import inspect
import json
import math
import os
import random
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from workloads import WORKLOADS

from gilknocker.testing import GilLoad, hold_gil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

SETTLE_SECONDS = 0.05
RUNS_PER_ROUND = 3
PAIRS = 50_000
METHODS = {"counted": "count", "looked": "look"}


def knock_knock(meter: str) -> Callable[..., Any]:
    """Return the KnockKnock of a meter."""
    if meter == "ours" or meter in METHODS:
        from gilknocker import KnockKnock

        # Version 1.0, which counting.py measures as well, has no methods.
        return partial(KnockKnock, method=METHODS[meter]) if meter in METHODS else KnockKnock
    spec = importlib.util.spec_from_file_location("original.gilknocker", meter)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.KnockKnock  # type: ignore[no-any-return]


def accuracy(
    meter: str, held_micros: str, free_micros: str, interval_micros: str, seconds: str
) -> dict[str, float]:
    """Read the metric over a load, and the truth."""
    from oracle import Oracle

    load = GilLoad(float(held_micros) / 1e6, float(free_micros) / 1e6)
    knocker = knock_knock(meter)(int(interval_micros))
    knocker.start()  # first: it counts where nobody has redirected the same pointers
    with Oracle(beneath=True) as oracle, load:
        time.sleep(SETTLE_SECONDS)
        knocker.reset_contention_metric()
        oracle.mark()
        time.sleep(float(seconds))
        truth, metric = oracle.read().held_fraction, knocker.contention_metric
    knocker.stop()
    return {"truth": truth, "metric": metric}


def trace(_: str, held_micros: str, free_micros: str, seconds: str) -> dict[str, float]:
    """Read what our tracer counts of a load, and the truth from beneath it."""
    from oracle import Oracle

    from gilknocker import GilTracer

    load = GilLoad(float(held_micros) / 1e6, float(free_micros) / 1e6)
    with GilTracer(0) as tracer, load, Oracle(beneath=True) as oracle:
        time.sleep(SETTLE_SECONDS)
        tracer.reset()
        oracle.mark()
        time.sleep(float(seconds))
        truth, counted = oracle.read().held_fraction, tracer.snapshot().held_fraction
    assert counted is not None
    return {"truth": truth, "metric": counted}


def load_only(_: str, held_micros: str, free_micros: str, seconds: str) -> dict[str, float]:
    """Be a load for py-spy, and tell the truth about it."""
    from oracle import Oracle

    with Oracle() as oracle, GilLoad(float(held_micros) / 1e6, float(free_micros) / 1e6) as load:
        oracle.mark()
        time.sleep(float(seconds))
        truth = oracle.read().held_fraction
    return {"truth": truth, "seconds": load.elapsed_seconds}


def torture(meter: str, what: str, seconds: str) -> dict[str, float]:
    """Add up contention as dask.distributed does, beside something that keeps the GIL.

    That is every 500 ms, from a thread: metric times the time since the last reading, then reset.
    """
    knocker = knock_knock(meter)(polling_interval_micros=1000)
    ended = threading.Event()
    readings: list[tuple[float, float]] = []

    def monitor() -> None:
        last = time.perf_counter()
        while True:
            over = ended.wait(0.5)
            now = time.perf_counter()
            readings.append((now - last, knocker.contention_metric))
            knocker.reset_contention_metric()
            last = now
            if over:
                return

    knocker.start()
    thread = threading.Thread(target=monitor)
    thread.start()
    if what == "hold":
        hold_gil(float(seconds))
    else:
        until = time.perf_counter() + float(seconds)
        while time.perf_counter() < until:
            pass
    ended.set()
    thread.join()
    knocker.stop()
    return {
        "share": sum(over * metric for over, metric in readings) / float(seconds),
        "highest": max(metric for _, metric in readings),
    }


def crc32_of_6_kb(rounds: int = 20_000) -> None:
    """Release the GIL often and briefly: zlib does for more than 5 kB."""
    import zlib

    data = bytes(6 * 1024)
    for _ in range(rounds):
        zlib.crc32(data)


@contextmanager
def exact_sleeps() -> Iterator[None]:
    """Have the calling thread's sleeps end when they should, but for the wake-up.

    Linux lets them take 50 µs longer, and end earlier within that if a timer of another thread
    goes off on the same CPU: so `some_gil`, which sleeps for 10 µs, is faster beside a thread that
    wakes up often (by 1 to 3 % on one machine), and what a meter costs cannot be told from that.
    Not while a meter starts, whose threads would have it from this one.
    """
    if sys.platform != "linux":
        yield
        return
    prctl, set_timer_slack, usual = ctypes.CDLL(None).prctl, 29, 0
    prctl(set_timer_slack, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(set_timer_slack, usual, 0, 0, 0)


def slowdown(
    original: str, name: str, polling_micros: str, seconds: str, ours: str = "ours"
) -> dict[str, float]:
    """Run a workload with neither meter, ours and the original, in turn, in one process.

    Nothing else would do: from one process to the next, and from one minute to the next, these
    programs differ by more than the meters cost. Returns what each of them, and ours over the
    original, takes longer, with 95 % intervals: `ours`, `ours_low`, `ours_high` and so on.
    """
    workload = {work.__name__: work for work in (*WORKLOADS, crc32_of_6_kb)}[name]
    meters = {
        "without": None,
        "ours": knock_knock(ours)(polling_interval_micros=int(polling_micros)),
        "original": knock_knock(original)(polling_interval_micros=int(polling_micros)),
    }
    taken: dict[str, list[float]] = {which: [] for which in meters}
    order = list(meters)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        random.shuffle(order)
        for which in order:
            knocker = meters[which]
            if knocker is not None:
                knocker.start()
            with exact_sleeps():
                workload()  # what came before, the original's stop of 0.1 s, has left its traces
                begin = time.perf_counter()
                for _ in range(RUNS_PER_ROUND):
                    workload()
                taken[which].append(time.perf_counter() - begin)
            if knocker is not None:
                knocker.stop()
    answer: dict[str, float] = {"rounds": len(taken["without"])}
    pairs = {
        "ours": ("ours", "without"),
        "original": ("original", "without"),
        "difference": ("ours", "original"),
    }
    for which, (above, beside) in pairs.items():
        median, low, high = median_ratio(taken[above], taken[beside])
        answer |= {which: median, f"{which}_low": low, f"{which}_high": high}
    return answer


def median_ratio(times: list[float], beside: list[float]) -> tuple[float, float, float]:
    """Return the median of how much longer, pair by pair, and its 95 % interval.

    The interval is that of the order statistics: how many of n pairs lie below the true median is
    binomial, n/2 on average with a deviation of sqrt(n)/2.
    """
    longer = sorted(time / other - 1 for time, other in zip(times, beside, strict=True))
    middle, reach = len(longer) / 2, 1.96 * math.sqrt(len(longer)) / 2
    low = max(math.floor(middle - reach), 0)
    high = min(math.ceil(middle + reach), len(longer) - 1)
    return statistics.median(longer), longer[low], longer[high]


def own_cpu(meter: str, polling_micros: str, seconds: str) -> dict[str, float]:
    """Return the CPU time that an idle process takes with a knocker, as a share of a core.

    With it how often a thread woke, in a second.
    """
    knocker = knock_knock(meter)(polling_interval_micros=int(polling_micros))
    knocker.start()
    time.sleep(0.5)  # numpy's own threads spin for a moment after its import
    before = resource.getrusage(resource.RUSAGE_SELF)
    time.sleep(float(seconds))
    after = resource.getrusage(resource.RUSAGE_SELF)
    knocker.stop()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    wakes = after.ru_nvcsw - before.ru_nvcsw
    return {"share": used / float(seconds), "wakes": wakes / float(seconds)}


def pair(_: str) -> dict[str, float]:
    """Return what a release and acquire takes longer where it is counted, or traced by 1.0, ns.

    A read of one byte of /dev/zero releases the GIL once. The least times, in turn.
    """
    import gilknocker

    if "method" in inspect.signature(gilknocker.KnockKnock).parameters:
        meter: Any = gilknocker.KnockKnock(10_000, method="count", max_overhead=1)
    else:
        meter = gilknocker.GilTracer(0)
    least = {"without": math.inf, "within": math.inf}
    fd = os.open("/dev/zero", os.O_RDONLY)

    def read(which: str) -> None:
        read_one = os.read
        begin = time.perf_counter_ns()
        for _ in range(PAIRS):
            read_one(fd, 1)
        least[which] = min(least[which], (time.perf_counter_ns() - begin) / PAIRS)

    for _ in range(20):
        read("without")
        with meter:
            read("within")
    os.close(fd)
    return {**least, "longer": least["within"] - least["without"]}


def latency(meter: str, rounds: str) -> dict[str, float]:
    """Return the medians of start() and stop(), in µs."""
    make = knock_knock(meter)
    start, stop = [], []
    for _ in range(int(rounds)):
        knocker = make(1000)
        begin = time.perf_counter()
        knocker.start()
        start.append(time.perf_counter() - begin)
        time.sleep(0.003)
        begin = time.perf_counter()
        knocker.stop()
        stop.append(time.perf_counter() - begin)
    return {"start": statistics.median(start) * 1e6, "stop": statistics.median(stop) * 1e6}


def memory(meter: str, knocks: str, most_seconds: str) -> dict[str, float]:
    """Knock as fast as it goes, and return how the resident memory grew after the log was full."""
    make = knock_knock(meter)
    options = {"knock_interval_micros": 1} if meter == "ours" else {}
    knocker = make(1000 if meter == "ours" else 1, **options)
    knocker.start()
    begin = time.monotonic()
    settled = 0
    done = 0
    while time.monotonic() < begin + float(most_seconds) and done < int(knocks):
        time.sleep(0.5)
        if meter == "ours":
            done = knocker.snapshot().knocks
        if not settled and (meter != "ours" or done > 1_500_000):
            settled = _resident_kib()
    grown = _resident_kib() - settled
    knocker.stop()
    return {"knocks": done, "grown_kib": grown, "seconds": time.monotonic() - begin}


def _resident_kib() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def leave_running(meter: str) -> dict[str, float]:
    """Leave the interpreter with a knocker running, after a moment."""
    knocker = knock_knock(meter)(1000)
    knocker.start()
    time.sleep(0.02)
    sys.modules["left running"] = knocker
    return {}


TASKS: dict[str, Callable[..., dict[str, float]]] = {
    task.__name__: task
    for task in (
        accuracy,
        trace,
        load_only,
        torture,
        slowdown,
        own_cpu,
        pair,
        latency,
        memory,
        leave_running,
    )
}

if __name__ == "__main__":
    print(json.dumps(TASKS[sys.argv[2]](sys.argv[1], *sys.argv[3:])), flush=True)
