"""Neighbours that walk through all thread states, with the GIL held, while ours come and go."""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from registry import fault
from subject import (
    FORKS,
    SECONDS,
    check_goes_on,
    in_child,
    in_threads,
    kept,
    make,
    numbers,
    started,
)

GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()


def _beside(walk: Callable[[], object]) -> None:
    """Start, stop, drop and perhaps fork while a thread calls `walk` over and over."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks: it has threads of its own
    walk()
    kept.extend(started(interval_micros=numbers.choice([50, 10_000])))
    sys.setswitchinterval(numbers.choice([1e-5, 1e-3]))  # the more starts, the oftener they switch
    end = time.monotonic() + SECONDS

    def walk_on() -> None:
        while time.monotonic() < end:
            walk()

    def use() -> None:
        interval = numbers.choice([50, 10_000, 10_000])  # stopped at work, or while it rests
        mine = make(interval)
        while time.monotonic() < end:
            mine.start()
            mine.stop()
            if numbers.random() < 0.1:
                mine.start()
                mine = make(interval)  # that which runs is dropped

    def child() -> None:
        walk()
        with make():
            walk()

    def fork() -> None:
        while time.monotonic() < end:
            in_child(child, orderly=False)

    # Without a GIL a child may get the lock by which another thread stops the world: CPython 3.13's
    # own, also with plain threads. And under AddressSanitizer that of its allocator.
    others = [[use], [use, use], [use, fork] if GIL and FORKS else [use]]
    jobs = [walk_on, *numbers.choice(others)]
    remaining = iter(jobs)
    in_threads(lambda: next(remaining)(), len(jobs))
    check_goes_on(kept[0])


@fault("beside `faulthandler.dump_traceback`")
def beside_faulthandler() -> None:
    with open(os.devnull, "w") as nowhere:
        _beside(lambda: faulthandler.dump_traceback(nowhere, all_threads=True))


@fault("beside `sys._current_frames` and `_current_exceptions`")
def beside_current_frames() -> None:
    _beside(lambda: (sys._current_frames(), getattr(sys, "_current_exceptions", bool)()))


def _no_all_threads() -> str:
    return "" if sys.version_info >= (3, 12) else "it came with Python 3.12"


@fault("beside `threading.setprofile_all_threads`", missing=_no_all_threads)
def beside_setprofile() -> None:
    each: Any = threading

    def walk() -> None:
        each.setprofile_all_threads(None)
        each.settrace_all_threads(None)

    _beside(walk)


@fault("beside `sys.monitoring.set_events`", missing=_no_all_threads)
def beside_monitoring() -> None:
    monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
    tool = monitoring.PROFILER_ID
    monitoring.use_tool_id(tool, "walker")

    def walk() -> None:
        monitoring.set_events(tool, monitoring.events.CALL)
        monitoring.set_events(tool, 0)

    _beside(walk)


def _no_yappi() -> str:
    if not GIL:
        return "it brings the GIL back"
    return "" if importlib.util.find_spec("yappi") else "yappi is not installed"


@fault("beside `yappi.start`", missing=_no_yappi)
def beside_yappi() -> None:
    yappi: Any = importlib.import_module("yappi")

    def walk() -> None:
        yappi.start()
        yappi.stop()

    _beside(walk)
