"""A short life of everything that is compiled, for a checker that makes it 50 times slower."""

from __future__ import annotations

import gc
import os
import time

from gilknocker import GilTracer, KnockKnock
from gilknocker.testing import hold_gil, release_gil


def has_looked(knocker: KnockKnock) -> bool:
    seen = knocker.snapshot()
    return seen.ticks > 0 or seen.method == "count"  # which needs no look


def use(knocker: KnockKnock) -> None:
    """Start, read, reset and stop it."""
    for _ in range(3):
        knocker.start()
        deadline = time.monotonic() + 60
        while not (has_looked(knocker) and len(knocker.wait_times)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        seen = knocker.snapshot(waits=True)
        assert len(seen.wait_times) == seen.knocks
        knocker.holders()
        knocker.reset_contention_metric()
        knocker.stop()


def main() -> None:
    """Live it, with an end that leaves them running."""
    use(KnockKnock(2000, knock_interval_micros=2000, method="look"))
    use(KnockKnock(2000, knock_interval_micros=2000))
    use(KnockKnock(polling_interval_micros=2000))
    kept = [KnockKnock(5000) for _ in range(3)]
    for one in kept:
        one.start()
    if GilTracer.supported()[0]:
        with GilTracer(100) as tracer:
            hold_gil(0.01)
            release_gil(0.01)
        assert tracer.snapshot(waits=True).held_ns >= 10_000_000
        assert len(tracer.events())
    pid = os.fork()
    if pid == 0:
        use(KnockKnock(2000, knock_interval_micros=2000))
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    del kept[0]
    gc.collect()


if __name__ == "__main__":
    main()
