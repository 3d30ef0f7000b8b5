"""A knock that still waits for the GIL at a stop: left alone, and out of what comes after it."""

from __future__ import annotations

import ctypes
import threading
import time
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from needs import needs_gil
from own_threads import KNOCKER, NAMES, our_names, thread_names
from waiting import wait_until

from gilknocker import KnockKnock
from gilknocker.testing import hold_gil

pytestmark = pytest.mark.thread_unsafe(reason="they look at the whole process")

# Called without letting go of the GIL, for which a stuck knock is waiting.
LIBC = ctypes.PyDLL(None)


def exists(thread: int) -> bool:
    return LIBC.kill(thread, 0) == 0  # musl has no tgkill()


def crowds(knocker: KnockKnock) -> Iterator[int]:
    """Start `knocker`; yield its thread number while it and others that will keep it want the GIL.

    Who gets it next is chance, so there are many attempts: mostly a knock waits for several holds.
    """
    for _ in range(30):
        knocker.start()
        wait_until(lambda: our_names() == sorted(NAMES))
        [(number, _)] = [item for item in thread_names().items() if item[1] == KNOCKER]
        go = threading.Event()

        def hold(go: threading.Event = go) -> None:
            go.wait()
            hold_gil(0.15, sleep=True)

        threads = [threading.Thread(target=hold) for _ in range(5)]
        for thread in threads:
            thread.start()
        go.set()
        hold_gil(0.003, sleep=True)  # all ask meanwhile, none for so long that we must make way
        try:
            yield number
        finally:
            for thread in threads:
                thread.join()
    pytest.fail("no knock was stuck in 30 attempts")


def impatient() -> KnockKnock:
    return KnockKnock(200, 0.05, knock_interval_micros=200)


@needs_gil
def test_stop_leaves_a_stuck_knock_alone() -> None:
    knocker = impatient()
    for thread in crowds(knocker):
        begin = time.monotonic()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            knocker.stop()
        stuck = exists(thread)
        seconds = time.monotonic() - begin
        assert not knocker.is_running
        seen = knocker.snapshot(waits=True)
        knocker.stop()
        if stuck and seen.in_flight_ns:  # not one that was about to leave its thread state
            break
    assert 0.05 <= seconds < 5  # getting the GIL back comes on top
    assert [warning.category for warning in caught] == [RuntimeWarning]
    assert str(caught[0].message) == (
        "a knock was still waiting for the GIL 50 ms after stop(): "
        "its thread will end by itself, later"
    )
    assert caught[0].filename == __file__
    assert seen.in_flight_ns > 0
    wait_until(lambda: our_names() == [])
    assert knocker.snapshot(waits=True) == seen


@needs_gil
def test_restart_while_a_knock_is_stuck() -> None:
    knocker = impatient()
    for thread in crowds(knocker):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            knocker.stop()
        stuck = exists(thread)
        knocker.start()
        assert knocker.is_running
        if stuck:
            break
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the crowd is still here: this one may be stuck too
            knocker.stop()
    before = knocker.snapshot(waits=True)
    wait_until(lambda: our_names() == sorted(NAMES))
    wait_until(lambda: knocker.snapshot().knocks > before.knocks)
    known = before.ticks + before.counted_ns
    wait_until(lambda: (seen := knocker.snapshot()).ticks + seen.counted_ns > known)
    knocker.stop()
    wait_until(lambda: our_names() == [])
    window = knocker.snapshot(waits=True) - before
    assert 0 <= window.ticks_held <= window.ticks
    assert window.observed_ns <= time.monotonic_ns() - before.end_ns
    assert window.wait_times.size == window.knocks
    assert window.wait_times.sum() == window.wait_total_ns
    # The stuck knock was asked for before, and is left out.
    assert (np.diff(window.knock_times) > 0).all()
    assert window.in_flight_ns == 0


@needs_gil
def test_state_has_changed_when_the_warning_is_an_error() -> None:
    knocker = impatient()
    for _ in crowds(knocker):
        try:
            knocker.stop()  # warnings are errors in these tests
        except RuntimeWarning as warning:
            assert not knocker.is_running
            assert "was still waiting for the GIL" in str(warning)
            break
        assert not knocker.is_running
    knocker.start()
    assert knocker.is_running
    wait_until(lambda: our_names() == sorted(NAMES))
    knocker.stop()
