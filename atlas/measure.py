"""Measure one case, in a process of its own: ``python -m atlas.measure KIND FIELD CASE``.

Prints one JSON object. The kinds: ``both`` (traced: alone, then beside a thread that wants the GIL
all the time), ``compete`` (only the latter), ``witness`` (without gilknocker: beside a heartbeat,
then two threads of it).
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from atlas.busy import Delays, Gap, Gaps
from atlas.case import Case, load

HEARTBEAT_SECONDS = 0.001
# A call that lets go 100,000 times may lose the GIL for 5 ms each time. That is seen by then, and
# it would take minutes.
COMPETING_SECONDS = 10.0


def _collect() -> None:
    # When the collector next looks at everything then depends on the call alone: it takes some
    # 25 ms of a hold, or comes after the call.
    gc.collect()


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    # Less the time in which this thread was ready and had no CPU.
    delays = Delays()
    ran, delayed = delays.read()
    begin = time.monotonic_ns()
    result = call()
    end = time.monotonic_ns()
    ran_then, delayed_then = delays.read()
    delays.close()
    gap = Gap(begin, end, ran_then - ran, delayed_then - delayed)
    return result, gap.own(end - begin) / 1e9


def _always_runs() -> None:
    # Then only the call's delays are in a gap: for a thread that sleeps, who else would starve.
    # Needs root; without it, a quiet machine.
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


class Rival:
    """A thread beside the call; what it could not do meanwhile is in its gaps.

    It calls `beat` again and again, which says how long it slept on purpose, in ns.
    """

    def __init__(self, name: str, beat: Callable[[], int], always_runs: bool) -> None:
        self._beat, self._always_runs = beat, always_runs
        self._stop = False
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._caller = threading.get_native_id()

    def _run(self) -> None:
        if self._always_runs:
            _always_runs()
        delays = Delays(self._caller)
        self._gaps = Gaps(delays)
        self._gaps.start()
        self._started.set()
        while not self._stop:
            self._gaps.mark(self._beat())
        delays.close()

    def __enter__(self) -> Rival:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join()

    def take(self) -> list[Gap]:
        """Return the gaps since the last time, the present one included."""
        time.sleep(5 * HEARTBEAT_SECONDS)
        gaps, self._gaps.kept = self._gaps.kept, []
        return gaps


def competitor() -> Rival:
    """Return a thread of pure Python that wants the GIL all the time, and then each millisecond."""
    until = time.monotonic() + COMPETING_SECONDS

    def beat() -> int:
        if time.monotonic() >= until:
            return _sleep()
        [None for _ in range(50)]
        return 0

    return Rival("competitor", beat, always_runs=False)


def heartbeat() -> Rival:
    """Return a thread that wakes each millisecond."""
    return Rival("heartbeat", _sleep, always_runs=True)


def _sleep() -> int:
    time.sleep(HEARTBEAT_SECONDS)
    return int(HEARTBEAT_SECONDS * 1e9)


def trace(case: Case, state: Any) -> dict[str, Any]:
    """Trace the call alone; then the freeing of its result."""
    _collect()
    with _tracer() as tracer:
        asked = time.perf_counter()
        result, seconds = _timed(lambda: case.run(state))
        wall = time.perf_counter() - asked
        called = _own(tracer)
        begin = time.perf_counter()
        del result
        freeing = time.perf_counter() - begin
    return {
        "seconds": seconds,
        "held_share": min(1, called.held_ns / 1e9 / wall),
        "releases": called.acquisitions,
        "freeing_seconds": freeing,
    }


def both(case: Case, state: Any) -> dict[str, Any]:
    """Run it alone, then beside a competitor."""
    return {"alone": trace(case, state), "rival": compete(case, state)}


def compete(case: Case, state: Any) -> dict[str, Any]:
    """Run the call beside a thread that wants the GIL all the time: what that one waited."""
    with competitor() as rival:
        _collect()
        rival.take()
        with _tracer() as tracer:
            result, seconds = _timed(lambda: case.run(state))
            call = _waits(tracer, rival)
        with _tracer() as tracer:
            del result
            freeing = _waits(tracer, rival)
    return {"seconds": seconds, **call, "freeing_max_ns": freeing["hold_max_ns"]}


def witness(case: Case, state: Any) -> dict[str, Any]:
    """Run the call beside a heartbeat, then in two threads, without gilknocker."""
    with heartbeat() as heart:
        _collect()
        heart.take()
        result, seconds = _timed(lambda: case.run(state))
        call = heart.take()
        del result
        freeing = heart.take()
    together = None if case.one_thread else pair(case, state)
    assert "gilknocker" not in sys.modules
    return {
        "seconds": seconds,
        "longest_ns": _longest(call),
        "freeing_longest_ns": _longest(freeing),
        "speed_up": together and 2 * seconds / together,
    }


def pair(case: Case, state: Any) -> float:
    """Return how long two threads of it take, side by side, from the first one's begin."""
    other = case.set_up()
    case.run(other)
    begun: list[float] = []
    ended: list[float] = []
    ready = threading.Barrier(2)

    def run(each: Any) -> None:
        ready.wait()
        # The second may only come here when the first lets go.
        begun.append(begin := time.monotonic())
        ended.append(begin + _timed(lambda: case.run(each))[1])

    threads = [threading.Thread(target=run, args=(each,)) for each in (state, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(ended) < 2:
        raise RuntimeError("it failed in a thread")
    return max(ended) - min(begun)


def _tracer() -> Any:
    from gilknocker import GilTracer

    return GilTracer()


def _own(tracer: Any) -> Any:
    me = threading.get_native_id()
    [own] = [thread for thread in tracer.threads() if thread.native_id == me]
    return own


def _longest(gaps: list[Gap]) -> int:
    return max((gap.own(gap.end - gap.start) for gap in gaps), default=0)


def _waits(tracer: Any, rival: Rival) -> dict[str, Any]:
    # A hold is known when it has ended: taking the gaps gives it the time.
    gaps = rival.take()
    events = tracer.events()
    threads = {thread.name: thread.serial for thread in tracer.threads()}
    waits = _of(events, tracer.WAIT, threads["competitor"])
    holds = _of(events, tracer.HOLD, threads["MainThread"])
    lengths = sorted((waits["end"] - waits["start"]).tolist()) or [0]
    return {
        "hold_max_ns": _longest_hold(holds, gaps),
        "wait_p50_ns": lengths[len(lengths) // 2],
        "wait_p99_ns": lengths[min(len(lengths) - 1, len(lengths) * 99 // 100)],
        "wait_max_ns": lengths[-1],
        "waits": len(lengths),
    }


def _of(events: Any, kind: int, thread: int) -> Any:
    return events[(events["kind"] == kind) & (events["thread"] == thread)]


def _longest_hold(holds: Any, gaps: list[Gap]) -> int:
    """Return the longest hold in a gap of the competitor's, less what the machine was busy."""
    longest = 0
    for gap in gaps:
        # One that began before the gap was no hindrance until then.
        inside = holds[(holds["start"] < gap.end) & (holds["end"] > gap.start)]
        if len(inside):
            begin = inside["start"].clip(min=gap.start)
            longest = max(longest, gap.own(int((inside["end"] - begin).max())))
    return longest


KINDS = {"both": both, "compete": compete, "witness": witness}


def main() -> None:
    """Measure what the command line names."""
    kind, field, name = sys.argv[1:]
    case = load(field)[name]
    state = case.set_up()
    case.run(state)  # imports, caches, compilers
    json.dump(KINDS[kind](case, state), sys.stdout)


if __name__ == "__main__":
    main()
