"""What the GIL cost a thread between two instants: for spans and requests."""

from __future__ import annotations

from _thread import get_ident
from typing import TYPE_CHECKING

from gilknocker._checks import shown
from gilknocker.meters.tracer import GilTracer

if TYPE_CHECKING:
    from typing import Any, TypeAlias

    # The thread's number, and what it held, waited and was kept from by others, in ns.
    _Share: TypeAlias = tuple[int, tuple[int, int, int]]

__all__ = ["SharedTracer", "add", "put", "seconds", "tell"]

WAITED = "gilknocker.gil.waited"
HELD = "gilknocker.gil.held"
HELD_BY_OTHERS = "gilknocker.gil.held_by_others"


class SharedTracer:
    """A tracer of the owner's, or one of ours, which keeps no events."""

    def __init__(self, tracer: GilTracer | None) -> None:
        if tracer is not None and not isinstance(tracer, GilTracer):
            raise TypeError(f"tracer must be a GilTracer or None, not {shown(tracer)}")
        self._own = tracer is None
        self._tracer = GilTracer(0) if tracer is None else tracer
        self._this_thread = self._tracer._core.share  # without a call of Python's
        if self._own:
            self._tracer.start()

    def share(self) -> _Share | None:
        """Return the thread's number and its times so far, in ns; None if they are not known."""
        share = self._this_thread()
        return None if share is None else (get_ident(), share)

    def close(self) -> None:
        """Stop the tracer if it is ours."""
        if self._own:
            self._tracer.stop()


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
    # A thread's own sums: those of another would not be comparable, and so bear its number.
    if before is not None and after is not None and before[0] == after[0]:
        put(span, *seconds(before, after))


def put(span: Any, waited: float, held: float, held_by_others: float) -> None:
    """Set these on a span, in seconds."""
    # Less than 0: the tracer was reset meanwhile.
    if waited >= 0 and held >= 0 and held_by_others >= 0 and span.is_recording():
        set_one = span.set_attribute  # quicker than set_attributes
        set_one(WAITED, waited)
        set_one(HELD, held)
        set_one(HELD_BY_OTHERS, held_by_others)
