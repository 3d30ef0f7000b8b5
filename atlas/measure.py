"""Measure one case, in a process of its own: ``python -m atlas.measure KIND FIELD CASE``.

Prints one JSON object. The kinds: ``trace`` (alone), ``compete`` (beside a thread that wants the
GIL all the time), ``witness`` (beside a heartbeat, without gilknocker), ``pair`` (two threads of
it).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from atlas.case import Case, load

HEARTBEAT_SECONDS = 0.001


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = call()
    return result, time.perf_counter() - begin


class Competitor:
    """A thread of pure Python that wants the GIL all the time."""

    def __init__(self) -> None:
        self._stop = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._spin, name="competitor", daemon=True)

    def _spin(self) -> None:
        self._started.set()
        while not self._stop:
            sum(range(50))

    def __enter__(self) -> None:
        self._thread.start()
        self._started.wait()

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()


class Heartbeat:
    """A thread that wakes each millisecond: the longest gap is what the GIL was kept from it."""

    def __init__(self) -> None:
        self._stop = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._mark = 0.0
        self.longest_ns = 0

    def _beat(self) -> None:
        last = time.perf_counter_ns()
        self._started.set()
        while not self._stop:
            time.sleep(HEARTBEAT_SECONDS)
            now = time.perf_counter_ns()
            late = now - last - int(HEARTBEAT_SECONDS * 1e9)
            self.longest_ns = max(self.longest_ns, late)
            last = now

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()

    def take(self) -> int:
        """Return the longest gap since the last time, in ns, the present one included."""
        time.sleep(5 * HEARTBEAT_SECONDS)
        longest, self.longest_ns = self.longest_ns, 0
        return longest


def trace(case: Case, state: Any) -> dict[str, Any]:
    """Trace the call alone; then the freeing of its result."""
    with _tracer() as tracer:
        result, seconds = _timed(lambda: case.run(state))
        called = _own(tracer)
        begin = time.perf_counter()
        del result
        freeing = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "held_share": called.held_ns / 1e9 / seconds,
        "releases": called.acquisitions,
        "freeing_seconds": freeing,
    }


def compete(case: Case, state: Any) -> dict[str, Any]:
    """Run the call beside a thread that wants the GIL all the time: what that one waited."""
    with Competitor():
        with _tracer() as tracer:
            result, seconds = _timed(lambda: case.run(state))
            call = _waits(tracer)
        with _tracer() as tracer:
            del result
            time.sleep(0.002)  # a wait is known when it has ended
            freeing = _waits(tracer)
    return {
        "seconds": seconds,
        **call,
        "freeing_max_ns": freeing["wait_max_ns"],
    }


def witness(case: Case, state: Any) -> dict[str, Any]:
    """Run the call beside a heartbeat, without gilknocker."""
    with Heartbeat() as heart:
        heart.take()
        result, seconds = _timed(lambda: case.run(state))
        call = heart.take()
        del result
        freeing = heart.take()
    assert "gilknocker" not in sys.modules
    return {"seconds": seconds, "longest_ns": call, "freeing_longest_ns": freeing}


def pair(case: Case, state: Any) -> dict[str, Any]:
    """Run two threads of it side by side: a speed-up of 2 is all that two cores can give."""
    other = case.set_up()
    case.run(other)
    _, alone = _timed(lambda: case.run(state))
    threads = [threading.Thread(target=case.run, args=(each,)) for each in (state, other)]

    def both() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    _, together = _timed(both)
    return {"seconds": alone, "speed_up": 2 * alone / together}


def _tracer() -> Any:
    from gilknocker import GilTracer

    return GilTracer()


def _own(tracer: Any) -> Any:
    me = threading.get_native_id()
    [own] = [thread for thread in tracer.threads() if thread.native_id == me]
    return own


def _waits(tracer: Any) -> dict[str, Any]:
    # Only the competitor's: the call's own thread waits for it in turn.
    events = tracer.events()
    [rival] = [thread for thread in tracer.threads() if thread.name == "competitor"]
    waits = events[(events["kind"] == tracer.WAIT) & (events["thread"] == rival.serial)]
    lengths = sorted((waits["end"] - waits["start"]).tolist()) or [0]
    return {
        "wait_p50_ns": lengths[len(lengths) // 2],
        "wait_p99_ns": lengths[min(len(lengths) - 1, len(lengths) * 99 // 100)],
        "wait_max_ns": max(lengths[-1], rival.longest_wait_ns),
        "waits": len(waits),
    }


KINDS = {"trace": trace, "compete": compete, "witness": witness, "pair": pair}


def main() -> None:
    """Measure what the command line names."""
    kind, field, name = sys.argv[1:]
    case = load(field)[name]
    state = case.set_up()
    case.run(state)  # imports, caches, compilers
    json.dump(KINDS[kind](case, state), sys.stdout)


if __name__ == "__main__":
    main()
