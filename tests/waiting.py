"""Waiting for what must come true: a thread that was joined is in /proc for a moment longer."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 60, every: float = 0.001) -> None:
    """Wait until `condition` is true, looking again `every` so many seconds.

    Raises
    ------
    AssertionError
        If it does not come true in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(every)


def work_until(
    condition: Callable[[], object], work: Callable[[], object], seconds: float = 60
) -> None:
    """Do `work` until `condition` is true after it: what watches it may have had no CPU meanwhile.

    Raises
    ------
    AssertionError
        If it does not come true in time.
    """
    deadline = time.monotonic() + seconds
    work()
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        work()
