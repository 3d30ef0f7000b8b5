"""Starting, stopping, dropping, resetting: whatever the order, from whatever thread.

What another process must show (exit handlers, limits, signals that kill) runs in a subprocess.
"""

from __future__ import annotations

import gc
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from needs import needs_gil
from own_threads import NAMES, our_names
from runs import run_strictly
from waiting import wait_until

from gilknocker import KnockKnock, Snapshot
from gilknocker.meters.lifecycle import Lifecycle
from gilknocker.testing import hold_gil

pytestmark = pytest.mark.thread_unsafe(reason="they look at the whole process")


def measured(seen: Snapshot) -> int:
    """Return how much it knows of when the GIL was held: looks, or counted time."""
    return seen.ticks + seen.counted_ns


# ---- start and stop ---------------------------------------------------------------------


def test_not_started() -> None:
    knocker = KnockKnock()
    assert not knocker.is_running
    knocker.stop()
    assert not knocker.is_running
    assert knocker.contention_metric == 0.0
    assert knocker.snapshot().observed_ns == 0
    assert len(knocker.wait_times) == 0
    wait_until(lambda: our_names() == [])


def test_starting_and_stopping_twice_is_once() -> None:
    knocker = KnockKnock()
    for _ in range(3):
        knocker.start()
        assert knocker.is_running
    wait_until(lambda: our_names() == sorted(NAMES))
    time.sleep(0.02)  # threads too many would have their names by now
    assert our_names() == sorted(NAMES)
    knocker.stop()
    assert not knocker.is_running
    wait_until(lambda: our_names() == [])
    stopped = knocker.snapshot(waits=True)
    knocker.stop()
    assert knocker.snapshot(waits=True) == stopped


def test_restart_continues_like_a_stopwatch() -> None:
    knocker = KnockKnock(200)
    ran_ns = 0
    snapshots = [knocker.snapshot()]
    for _ in range(3):
        begin = time.monotonic_ns()
        knocker.start()
        time.sleep(0.03)
        wait_until(lambda: knocker.snapshot().knocks > snapshots[-1].knocks)
        knocker.stop()
        ran_ns += time.monotonic_ns() - begin
        snapshots.append(knocker.snapshot())
        time.sleep(0.1)
    for before, after in pairwise(snapshots):
        assert after.observed_ns >= before.observed_ns + 30_000_000
        assert measured(after) > measured(before)
        assert after.epoch == before.epoch
    assert snapshots[3].observed_ns <= ran_ns
    assert snapshots[3].start_ns == snapshots[1].start_ns
    assert snapshots[3].end_ns - snapshots[3].start_ns >= snapshots[3].observed_ns + 200_000_000


@needs_gil
def test_numbers_stay_after_stop() -> None:
    with KnockKnock(100) as knocker:
        hold_gil(0.02)
    seen = knocker.snapshot(waits=True)
    metric = knocker.contention_metric
    assert seen.held_fraction == metric > 0
    hold_gil(0.05)
    assert knocker.snapshot(waits=True) == seen
    assert knocker.contention_metric == metric
    assert knocker.wait_times.tolist() == seen.wait_times.tolist()


def test_with_block() -> None:
    knocker = KnockKnock()
    for _ in range(2):
        with knocker as entered:
            assert entered is knocker
            assert knocker.is_running
        assert not knocker.is_running
    with pytest.raises(KeyError, match="the body"), knocker:
        raise KeyError("the body")
    assert not knocker.is_running
    with knocker:
        knocker.stop()
    assert not knocker.is_running


# ---- reset ------------------------------------------------------------------------------


@pytest.mark.parametrize("running", [True, False])
def test_reset(running: bool) -> None:
    knocker = KnockKnock(200)
    with knocker:
        hold_gil(0.02)
        wait_until(lambda: knocker.snapshot().knocks)
    if running:
        knocker.start()
    before = knocker.snapshot(waits=True)
    knocker.reset_contention_metric()
    after = knocker.snapshot(waits=True)
    assert knocker.is_running == running
    assert (after.epoch, after.sampler_id) == (before.epoch + 1, before.sampler_id)
    assert after.start_ns >= before.end_ns
    assert after.floor_ns is not None  # of the sampler so far
    if not running:
        assert knocker.contention_metric == 0.0
        assert measured(after) == 0
        assert (after.knocks, after.observed_ns, after.cpu_ns) == (0, 0, 0)
        assert after.wait_times.size == after.knock_times.size == 0
        assert after.end_ns == after.start_ns
    with pytest.raises(ValueError, match="same epoch"):
        after - before
    # What was handed out stays, and measuring goes on.
    assert before.wait_times.size == before.knocks > 0
    with knocker:
        wait_until(lambda: measured(knocker.snapshot()))
        wait_until(lambda: knocker.snapshot().knocks)
    # A knock may have been asked for before the reset: it counts where it was answered.
    answered = knocker.knock_times + knocker.wait_times
    assert answered.min() >= after.start_ns
    assert knocker.snapshot().epoch == after.epoch


# ---- drop without stop ------------------------------------------------------------------


def test_drop() -> None:
    knocker = KnockKnock()
    knocker.start()
    wait_until(lambda: our_names() == sorted(NAMES))
    del knocker
    wait_until(lambda: our_names() == [])


def test_drop_in_a_cycle_by_another_thread() -> None:
    cycle: list[Any] = [KnockKnock()]
    cycle.append(cycle)
    cycle[0].start()
    wait_until(lambda: our_names() == sorted(NAMES))
    del cycle
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
    wait_until(lambda: our_names() == [])


def test_drop_while_another_thread_holds_the_gil() -> None:
    knockers = [KnockKnock(100, knock_interval_micros=100) for _ in range(10)]
    thread = threading.Thread(target=lambda: [hold_gil(0.01) for _ in range(20)])
    thread.start()
    for knocker in knockers:
        knocker.start()
    del knocker
    while knockers:
        knockers.pop()
    thread.join()
    wait_until(lambda: our_names() == [])


# ---- at exit, and where no thread can be had ---------------------------------------------


def test_start_after_the_exit_handler() -> None:
    done = run_strictly(
        """
        import atexit
        def late():
            assert not running.is_running
            for knocker in (running, stopped, KnockKnock()):
                try:
                    knocker.start()
                except RuntimeError as error:
                    print(error)
                assert not knocker.is_running
                knocker.stop()
            seen = running.snapshot()
            assert seen.ticks + seen.counted_ns > 0
            assert 0 <= running.contention_metric <= 1
            running.reset_contention_metric()
            assert running.contention_metric == 0.0
        atexit.register(late)  # before ours, so it is called after it
        from gilknocker import KnockKnock, Snapshot
        running, stopped = KnockKnock(), KnockKnock()
        running.start()
        while not running.contention_metric:
            pass
        """
    )
    message = "the interpreter is exiting: nothing can be measured any more\n"
    assert (done.returncode, done.stderr, done.stdout) == (0, "", 3 * message)


@pytest.mark.parametrize("stacks", [0, 1])
def test_thread_that_cannot_be_had(stacks: int) -> None:
    # No limit of processes binds root, but a thread needs address space for its stack. With room
    # for one stack, the knocker's thread is refused when the watcher's runs already.
    done = run_strictly(
        """
        import os, resource, sys, time
        from pathlib import Path
        from gilknocker import KnockKnock, _core

        knocker = KnockKnock(1000)
        knocker.snapshot()
        stack = 8 << 20
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = size + int((int(sys.argv[1]) + 0.5) * stack)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        for _ in range(3):
            try:
                knocker.start()
            except RuntimeError as error:
                print(error)
            assert not knocker.is_running
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
        # One that was joined is still there for a moment.
        deadline = time.monotonic() + 60
        while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < deadline:
            pass
        assert len(os.listdir("/proc/self/task")) == 1
        assert _core.live_objects()["Worker"] == 0
        first = knocker.snapshot()
        assert knocker.snapshot() == first
        assert first.in_flight_ns == 0
        knocker.start()
        while knocker.snapshot().observed_ns == first.observed_ns:
            pass
        knocker.stop()
        """,
        str(stacks),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Resource temporarily unavailable") == 3


def test_interrupt_right_after_a_start_does_not_lose_the_runner() -> None:
    class Runner:
        is_running = False

        def start(self) -> None:
            self.is_running = True
            raise KeyboardInterrupt

        def stop(self, timeout_ns: int) -> bool:
            self.is_running = False
            return True

    process, runner = Lifecycle(), Runner()
    with pytest.raises(KeyboardInterrupt):
        process.start(runner)
    assert process.is_running(runner)
    process.at_exit()
    assert not process.is_running(runner)
