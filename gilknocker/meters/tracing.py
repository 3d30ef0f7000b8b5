"""Which tracers run in this process: one starts or stops at a time, and none after its end."""

from __future__ import annotations

import atexit
import os
from _thread import RLock
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from gilknocker import _core
from gilknocker.meters.known_threads import known_threads
from gilknocker.meters.lifecycle import FORKS
from gilknocker.meters.thread_names import ThreadNames

if TYPE_CHECKING:
    from gilknocker.meters.tracer import GilTracer

__all__ = ["NAMES", "RUNNING", "TRACING", "native_ids"]

RUNNING: WeakSet[GilTracer] = WeakSet()


def _keep_names() -> None:
    """Find out the names of the threads that the tracers know: soon they may be forgotten."""
    for tracer in list(RUNNING):
        tracer._keep_names()


NAMES = ThreadNames(RUNNING, _keep_names)


def native_ids() -> list[int]:
    """Return the native ids of the threads that are there, as far as known; also the caller's."""
    return list({_core.native_id(), *(native_id for _, native_id, _ in known_threads())} - {0})


class _Process:
    """Who starts and stops tracers in this process: one at a time, and nobody after its end."""

    def __init__(self) -> None:
        self.exited = False
        self.lock = RLock()  # a signal handler may come in between

    def at_exit(self) -> None:
        """Stop all tracers for good."""
        with self.lock:
            self.exited = True
            for tracer in list(RUNNING):
                tracer.stop()

    def after_fork_in_child(self) -> None:
        """Know of no tracer: they run in the parent, whose threads may have the lock."""
        self.lock = RLock()
        RUNNING.clear()
        NAMES.rest()


TRACING = _Process()
atexit.register(_core.insist, TRACING.at_exit)
if FORKS:
    os.register_at_fork(after_in_child=partial(_core.insist, TRACING.after_fork_in_child))
