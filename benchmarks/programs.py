"""Does the metric say of whole programs what it must? Spinners, threads at work, idle processes.

    python benchmarks/programs.py

One line a promise, with the figure and its bound. Exits with 1 if one is missed.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from cost import Verdicts
from machine import describe
from steal import StealTime
from workloads import a_little_gil, a_lotta_gil, some_gil

from gilknocker import KnockKnock
from gilknocker.testing import hold_gil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from oracle import Oracle

THREADS = 4


def spinner(interval_micros: int) -> float:
    """Return what a loop in pure Python reads."""
    seconds = max(2.0, 50 * interval_micros / 1e6)
    with KnockKnock(interval_micros) as knocker:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        return knocker.contention_metric


def in_threads(work: Callable[[], None], seconds: float = 2.0) -> tuple[float, float]:
    """Return what threads that repeat `work` read, and the oracle's truth."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            work()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    with Oracle() as oracle, KnockKnock() as knocker:
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        knocker.reset_contention_metric()
        oracle.mark()
        time.sleep(seconds)
        truth, metric = oracle.read().held_fraction, knocker.contention_metric
        stop.set()
        for thread in threads:
            thread.join()
    return metric, truth


def after_a_reset() -> float:
    """Return the most that is read right after a reset, of 100."""
    with KnockKnock(100_000) as knocker:
        hold_gil(0.3)
        highest = 0.0
        for _ in range(100):
            knocker.reset_contention_metric()
            highest = max(highest, knocker.contention_metric)
    return highest


def idle_with(knockers: int) -> float:
    """Return the highest metric of many knockers in an idle process."""
    with ExitStack() as stack:
        running = [stack.enter_context(KnockKnock()) for _ in range(knockers)]
        time.sleep(0.2)
        for knocker in running:
            knocker.reset_contention_metric()
        time.sleep(3)
        return max(knocker.contention_metric for knocker in running)


def main() -> int:
    """Measure, print, and return the exit status."""
    print(describe())
    steal = StealTime()
    verdicts = Verdicts()
    for interval in (100, 1_000, 10_000, 100_000):
        free = 1 - spinner(interval)
        verdicts.at_most(f"a spinner at {interval} µs: 1 less the metric", free, 0.05, "")
    metric, _ = in_threads(a_lotta_gil)
    verdicts.at_most("four threads of a_lotta_gil: 1 less the metric", 1 - metric, 0.1, "")
    metric, truth = in_threads(lambda: a_little_gil(10))
    note = f"oracle {truth:.3f}"
    verdicts.at_most("four threads of a_little_gil: the metric", metric, 0.2, "", note)
    metric, truth = in_threads(some_gil)
    note = f"metric {metric:.3f}, oracle {truth:.3f}"
    verdicts.at_most("four threads of some_gil: off by", abs(metric - truth), 0.03, "", note)
    verdicts.at_most("right after a reset: the metric", after_a_reset(), 0.001, "")
    verdicts.at_most("idle, with 64 knockers: the highest metric", idle_with(64), 0.001, "")
    share = f"steal time {steal.share():.1%}"
    print(f"{verdicts.passed} passed, {verdicts.failed} failed; {share}")
    return 1 if verdicts.failed else 0


if __name__ == "__main__":
    sys.exit(main())
