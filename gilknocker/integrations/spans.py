"""What the GIL cost a thread between two instants: for spans and requests."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import finalize

from gilknocker import _core
from gilknocker.integrations.always_on import checked_tracer
from gilknocker.meters.lifecycle import FORKS
from gilknocker.meters.tracer import GilTracer
from gilknocker.meters.tracing import TRACING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    # The thread's token, and what it held, waited and was kept from by others, in ns.
    _Share: TypeAlias = tuple[object, tuple[int, int, int]]

__all__ = ["SharedTracer", "add", "put", "seconds", "tell"]

WAITED = "gilknocker.gil.waited"
HELD = "gilknocker.gil.held"
HELD_BY_OTHERS = "gilknocker.gil.held_by_others"


class _Here(threading.local):
    """What stands for the calling thread. Its number may be that of a later one, too."""

    def __init__(self) -> None:
        self.token = object()


class _Ours:
    """The tracer of all in a process who bring none, while there are any: only 4 can run at once.

    Any thread may call anything, also while garbage is collected within a call.
    """

    def __init__(self) -> None:
        self._users: set[object] = set()
        self._tracer: GilTracer | None = None
        self.lost = False  # in a forked child it is one that was never started

    def begin(self, user: object) -> GilTracer:
        """Return it, running, for somebody more."""
        # The lock of whoever starts and stops tracers: with one more, two threads could wait for
        # each other, for garbage may be collected, and so `end` called, under that one.
        with TRACING.lock:
            self._users.add(user)  # first: from now on nobody else's end stops it
            try:
                tracer = self._tracer
                if tracer is None:
                    tracer = self._tracer = GilTracer(0)
                tracer.start()
            except BaseException:
                self.end(user)
                raise
            return tracer

    def end(self, user: object) -> None:
        """Stop it if this was the last who had begun; nothing if he had not."""
        with TRACING.lock:
            self._users.discard(user)
            if not self._users and self._tracer is not None:
                tracer, self._tracer = self._tracer, None
                tracer.stop()

    def begin_again(self) -> None:
        """Start it in a forked child, for those who had begun before; nothing if it cannot be."""
        with TRACING.lock:
            lost, self.lost = self.lost, False  # what fails once would fail in each request
            if lost and self._tracer is not None:
                with suppress(RuntimeError):
                    self._tracer.start()

    def after_fork_in_child(self) -> None:
        """Begin again when somebody asks: until then a child is left alone."""
        self.lost = True
        _HERE.token = object()  # the parent's sums are not comparable either


_HERE = _Here()
_OURS = _Ours()
if FORKS:
    os.register_at_fork(after_in_child=partial(_core.insist, _OURS.after_fork_in_child))


class SharedTracer:
    """A tracer of the owner's, or ours, which keeps no events and which all users share."""

    def __init__(self, tracer: GilTracer | None) -> None:
        tracer = checked_tracer(tracer)
        self._end: Callable[[], object] | None = None
        if tracer is None:
            user = object()
            tracer = _OURS.begin(user)
            end = finalize(self, _OURS.end, user)
            end.atexit = False  # then all tracers are stopped anyway
            self._end = end
        self._this_thread: Callable[[], tuple[int, int, int] | None]
        self._this_thread = tracer._core.share  # without a call of Python's

    def share(self) -> _Share | None:
        """Return the thread's token and its times so far, in ns; None if they are not known."""
        share = self._this_thread()
        if share is None and _OURS.lost:
            _OURS.begin_again()
            share = self._this_thread()
        return None if share is None else (_HERE.token, share)

    def close(self) -> None:
        """Use it no longer if it is ours: the last user's end stops it."""
        if self._end is not None:
            self._this_thread = _not_known  # others may use it still
            self._end()


def _not_known() -> None:
    return None


def seconds(before: _Share, after: _Share) -> tuple[float, float, float]:
    """Return how long the thread waited, held, and others held between the two, in seconds."""
    _, (held, waited, others) = before
    _, (held_later, waited_later, others_later) = after
    return (waited_later - waited) / 1e9, (held_later - held) / 1e9, (others_later - others) / 1e9


def add(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the sums of two of these."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def tell(span: Any, before: _Share | None, after: _Share | None) -> None:
    """Set on a span what the GIL cost its thread between the two, if that is known."""
    # A thread's own sums: those of another would not be comparable, and so bear its token.
    if before is not None and after is not None and before[0] is after[0]:
        put(span, seconds(before, after))


def put(span: Any, cost: tuple[float, float, float] | None) -> None:
    """Set these on a span, in seconds, if they are known."""
    if cost is None:
        return
    waited, held, held_by_others = cost
    # Less than 0: the tracer was reset meanwhile.
    if waited >= 0 and held >= 0 and held_by_others >= 0 and span.is_recording():
        set_one = span.set_attribute  # quicker than set_attributes
        set_one(WAITED, waited)
        set_one(HELD, held)
        set_one(HELD_BY_OTHERS, held_by_others)
