"""The package under torture, ours or the original: how it is started, and how it is checked."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE = 20.0  # seconds until what must come true has not
CHILD_STATUS = 7
SECONDS = float(os.environ.get("TORTURE_SECONDS", "0.25"))  # of a life that goes on for a time
FORKS = int(os.environ.get("TORTURE_FORKS", "20"))  # behind Python's back; 0: nor beside threads

numbers = random.Random()
kept: list[Any] = []  # until the interpreter's end
tracers: list[tuple[int, Any]] = []  # with the process in which they run
_may_trace = False


def begin(seed: int, may_trace: bool) -> None:
    """Choose this life's random numbers, and whether it may trace."""
    global _may_trace
    numbers.seed(seed)
    _may_trace = may_trace
    if not is_ours():
        warnings.simplefilter("ignore", DeprecationWarning)  # its threads live on at a fork


def is_ours() -> bool:
    """Whether it is this project's package, not the original."""
    import gilknocker

    return hasattr(gilknocker, "Snapshot")


def make(interval_micros: int = 50, method: str | None = None) -> Any:
    """Return a knocker as dense as it can be, or the original one as people use it.

    Ours does what it does by itself, but one in three looks, where it can.
    """
    from gilknocker import KnockKnock

    if is_ours():
        from gilknocker import _core

        method = method or numbers.choice(["auto", "auto", "look"])
        if method == "look" and _core.look_problem():
            method = "auto"
        options: dict[str, Any] = {"method": method}
        return KnockKnock(interval_micros, knock_interval_micros=interval_micros, **options)
    return KnockKnock(polling_interval_micros=max(interval_micros, 1000))


def started(count: int = 1, interval_micros: int = 50, method: str | None = None) -> list[Any]:
    """Return running knockers; every other life traces too, where it may."""
    knockers = [make(interval_micros, method) for _ in range(count)]
    for knocker in knockers:
        knocker.start()
    if _may_trace and is_ours() and numbers.random() < 0.5:
        trace()
    return knockers


def trace() -> None:
    """Start a tracer that is never stopped, where that is possible."""
    from gilknocker import GilTracer

    if GilTracer.supported()[0]:
        tracer = GilTracer(1000)
        tracer.start()
        tracers.append((os.getpid(), tracer))


def pause() -> None:
    """Wait a random time: none, the time of a few looks, or of many."""
    time.sleep(numbers.choice([0, 0.001, 0.02]) * numbers.random())


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until `condition` is true.

    Raises
    ------
    AssertionError
        If it does not come true in time.
    """
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.001)


def check_goes_on(knocker: Any) -> None:
    """Check that it measures, and that its numbers are whole and growing."""
    assert knocker.is_running
    assert 0.0 <= knocker.contention_metric <= 1.0
    if not is_ours():
        knocker.reset_contention_metric()
        return
    before = check_numbers(knocker)
    wait_until(lambda: measured(knocker.snapshot()) > measured(before))
    wait_until(lambda: knocker.snapshot().knocks > before.knocks)
    after = check_numbers(knocker)
    assert after.epoch == before.epoch, "the numbers began anew"
    assert measured(after - before) > 0
    for process, tracer in tracers:
        if process == os.getpid():
            check_tracer(tracer)


def check_tracer(tracer: Any) -> None:
    """Check that it counts, and that its numbers are whole."""
    assert tracer.is_running
    before = tracer.snapshot()
    time.sleep(0)
    after = tracer.snapshot()
    assert after.holds > before.holds
    assert 0 <= after.held_ns <= after.observed_ns


def measured(seen: Any) -> int:
    """Return how much it knows of when the GIL was held: looks, or counted time."""
    return int(seen.ticks + seen.counted_ns)


def check_numbers(knocker: Any) -> Any:
    """Return a snapshot that has been checked against itself."""
    seen = knocker.snapshot()
    assert seen.pid == os.getpid()
    assert 0 <= seen.ticks_held + seen.ticks_own + seen.ticks_disabled <= seen.ticks
    assert 0 <= seen.observed_ns <= seen.end_ns - seen.start_ns
    assert seen.knocks == sum(count for *_, count in seen.histogram)
    assert 0 <= seen.wait_max_ns <= max(seen.wait_total_ns, seen.in_flight_ns)
    return seen


def check_never_ran(knocker: Any) -> None:
    """Check that the child of a fork has what was never started, and can use it."""
    if is_ours():
        assert not knocker.is_running
        assert knocker.contention_metric == 0.0
        seen = knocker.snapshot()
        assert (measured(seen), seen.knocks, seen.pid) == (0, 0, os.getpid())
        assert our_threads() == []
        assert not any(tracer.is_running for _, tracer in tracers)
    knocker.stop()
    knocker.start()
    if is_ours():
        check_goes_on(knocker)
    knocker.stop()
    assert not knocker.is_running


def our_threads() -> list[str]:
    """Return the names of this process's threads that are ours."""
    names = []
    for task in Path("/proc/self/task").iterdir():
        try:
            names.append((task / "comm").read_text().strip())
        except OSError:  # it ended meanwhile
            continue
    return [name for name in names if name.startswith("gilknock")]


def in_child(function: Callable[[], object], *, orderly: bool = True) -> None:
    """Fork, call `function` in the child, and wait for its end."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            os._exit(1)
        if orderly:
            sys.exit(CHILD_STATUS)
        os._exit(CHILD_STATUS)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == CHILD_STATUS


def may(function: Callable[[], object]) -> bool:
    """Whether the system lets a process do `function`: a child tries."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0


def quiet_unraisable() -> None:
    """Let Python not tell of exceptions that it can raise nowhere: those of our own handlers."""
    sys.unraisablehook = bool  # all in C: a handler cannot raise in there as well


def daemon(function: Callable[[], object]) -> None:
    """Run `function` in a daemon thread."""
    threading.Thread(target=function, daemon=True).start()


def in_threads(function: Callable[[], object], count: int) -> None:
    """Run `function` in threads at once; what one raises is raised."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
