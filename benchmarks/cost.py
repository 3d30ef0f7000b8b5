"""What does the meter cost? Slowdown, own CPU, latencies, each beside its bound.

    python benchmarks/cost.py [--rounds 15]

Runs with and without a knocker are interleaved, and minima compared: the machine's noise only
ever adds. A bare timer that wakes as often as the watcher is measured too, because that is what
the machine itself asks for waking a thread. Exits with 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

from machine import describe
from steal import StealTime
from workloads import WORKLOADS

from gilknocker import KnockKnock

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracle import Oracle


class Verdicts:
    """Prints figures beside their bounds, and remembers whether all held."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def at_most(self, what: str, figure: float, bound: float, unit: str, note: str = "") -> None:
        """Print one figure that must not exceed its bound."""
        good = figure <= bound
        self.passed += good
        self.failed += not good
        print(
            f"{'ok  ' if good else 'FAIL'} {what:58} {figure:9.3f} {unit:2} (<= {bound:g}) {note}",
            flush=True,
        )


def seconds_of(call: Callable[[], object]) -> float:
    """Time one call."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def slowdown(workload: Callable[[], None], rounds: int) -> float:
    """Compare minima with and without a knocker at 1000 µs, interleaved; return their ratio."""
    plain, measured = [], []
    for _ in range(rounds):
        for knocker, seconds in ((nullcontext(), plain), (KnockKnock(1000), measured)):
            with knocker:
                seconds.append(seconds_of(workload))
    return min(measured) / min(plain)


def own_cpu(knocker: KnockKnock, seconds: float) -> float:
    """Return the share of one core that the knocker's threads use in an idle process."""
    with knocker:
        time.sleep(seconds)
    snapshot = knocker.snapshot()
    return snapshot.cpu_ns / 1e9 / snapshot.observed_seconds


def bare_timer(interval_seconds: float, seconds: float) -> float:
    """Return the share of one core that waking a thread this often takes, doing nothing else."""
    share = 0.0

    def wake() -> None:
        nonlocal share
        begin, cpu = time.monotonic(), time.thread_time()
        while time.monotonic() < begin + seconds:
            time.sleep(interval_seconds)
        share = (time.thread_time() - cpu) / (time.monotonic() - begin)

    thread = threading.Thread(target=wake)
    thread.start()
    thread.join()
    return share


def hold_of_a_knock(interval_micros: int, seconds: float) -> float:
    """Return the median time that an uncontended knock holds the GIL, in µs."""
    with Oracle(log=1 << 18) as oracle:
        with KnockKnock(interval_micros, knock_interval_micros=interval_micros):
            time.sleep(seconds)
        log = oracle.transitions()
    ours = 2  # oracle.HELD_BY_OURS
    holds = [
        after - before
        for before, after, state in zip(log.times, log.times[1:], log.states, strict=False)
        if state == ours
    ]
    return statistics.median(holds) / 1e3


def latencies(rounds: int) -> tuple[float, float, float]:
    """Return the medians of start(), stop() and snapshot(), in µs, nobody else on the GIL."""
    start, stop, snapshot = [], [], []
    knocker = KnockKnock(1000)
    for _ in range(rounds):
        start.append(seconds_of(knocker.start))
        time.sleep(0.003)
        knocker.snapshot()  # what it costs as such, not what a cold cache costs after a sleep
        snapshot.append(seconds_of(knocker.snapshot))
        stop.append(seconds_of(knocker.stop))
    start_us, stop_us, snapshot_us = (
        statistics.median(seconds) * 1e6 for seconds in (start, stop, snapshot)
    )
    return start_us, stop_us, snapshot_us


def added_to_the_start(arguments: Sequence[str], rounds: int) -> float:
    """Return what Python with `arguments` takes longer than ``-c pass``, in ms, by medians."""
    bare: list[float] = []
    ours: list[float] = []

    def run(arguments: Sequence[str]) -> None:
        # Away from a checkout, whose package is not built.
        subprocess.run([sys.executable, *arguments], check=True, stderr=subprocess.DEVNULL, cwd="/")

    for _ in range(rounds):
        for words, seconds in ((("-c", "pass"), bare), (arguments, ours)):
            seconds.append(seconds_of(lambda words=words: run(words)))
    return (statistics.median(ours) - statistics.median(bare)) * 1e3


def main() -> int:
    """Print every figure beside its bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="of each workload (15)")
    options = parser.parse_args()
    print(describe())
    steal = StealTime()
    verdicts = Verdicts()
    for workload in WORKLOADS:
        ratio = slowdown(workload, options.rounds)
        verdicts.at_most(f"slowdown of {workload.__name__} at 1000 µs", 100 * (ratio - 1), 2, "%")
    timers = [100 * bare_timer(0.001, 1) for _ in range(3)]
    cpu = [100 * own_cpu(KnockKnock(1000), 1) for _ in range(3)]
    note = f"a bare timer as often: {min(timers):.2f} %"
    verdicts.at_most("own CPU at 1000 µs, share of a core", min(cpu), 2.5, "%", note)
    cpu = [100 * own_cpu(KnockKnock(polling_interval_micros=1000), 2) for _ in range(3)]
    verdicts.at_most("own CPU in the 0.4 schedule at its defaults", min(cpu), 0.5, "%")
    for interval in (1000, 10_000):
        hold = hold_of_a_knock(interval, 2)
        verdicts.at_most(f"GIL held by an uncontended knock each {interval} µs", hold, 0.3, "µs")
    start, stop, snapshot = latencies(200)
    verdicts.at_most("start()", start, 300, "µs")
    verdicts.at_most("stop()", stop, 1000, "µs")
    verdicts.at_most("snapshot()", snapshot, 50, "µs")
    added = added_to_the_start(("-c", "import gilknocker"), 41)
    verdicts.at_most("import gilknocker", added, 5, "ms")
    added = added_to_the_start(("-m", "gilknocker", "run", "-c", "pass"), 41)
    verdicts.at_most("python -m gilknocker run, beyond python -c", added, 10, "ms")
    print(f"{verdicts.passed} passed, {verdicts.failed} failed; steal time {steal.share():.1%}")
    return 1 if verdicts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
