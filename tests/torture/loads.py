"""Many at once, and often."""

from __future__ import annotations

import gc
import os

from registry import fault
from subject import (
    check_goes_on,
    in_threads,
    is_ours,
    kept,
    make,
    numbers,
    our_threads,
    started,
    wait_until,
)

STARTS = int(os.environ.get("TORTURE_STARTS", "1000"))  # of all threads together
THREADS = 8


@fault("64 at once")
def many() -> None:
    mine = started(64, interval_micros=5000)
    check_goes_on(mine[0])
    check_goes_on(mine[-1])
    kept.extend(mine if numbers.random() < 0.5 else mine[:32])
    del mine
    gc.collect()


@fault("started and stopped by 8 threads, one for each")
def start_stop() -> None:
    def use() -> None:
        mine = make()
        for _ in range(STARTS // THREADS):
            mine.start()
            mine.stop()
        assert not mine.is_running

    in_threads(use, THREADS)
    if is_ours():
        wait_until(lambda: our_threads() == [])


@fault("started and stopped by 8 threads, one for all")
def start_stop_shared() -> None:
    mine = make()

    def use() -> None:
        for _ in range(STARTS // THREADS):
            mine.start()
            mine.stop()

    in_threads(use, THREADS)
    mine.stop()
    assert not mine.is_running
    if is_ours():
        wait_until(lambda: our_threads() == [])
    mine.start()
    check_goes_on(mine)


@fault("snapshots, resets, drops by 8 threads", only_ours=True)
def read_and_reset() -> None:
    [mine] = started()

    def use() -> None:
        for _ in range(50):
            seen = mine.snapshot(waits=True)
            assert seen.wait_times.sum() == seen.wait_total_ns or seen.waits_dropped
            assert len(seen.wait_times) + seen.waits_dropped == seen.knocks
            mine.reset_contention_metric()
            other = make()
            other.start()
            del other

    in_threads(use, THREADS)
    mine.reset_contention_metric()
    check_goes_on(mine)
