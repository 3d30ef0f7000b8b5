"""What the fixtures give: meters of their own, around the body of their test."""

from __future__ import annotations

import pytest

from gilknocker.integrations.pytest import marks
from gilknocker.integrations.pytest.plan import intervals
from gilknocker.integrations.pytest.session import begin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilknocker import GilTracer, KnockKnock

__all__ = ["knocker", "tracer"]


def knocker(request: pytest.FixtureRequest) -> Iterator[KnockKnock]:
    """Yield a KnockKnock that runs while the body of the test does."""
    from gilknocker import KnockKnock

    session = begin(request.config)
    own = marks.knocker_of(request.node)
    interval, knock_interval = intervals(own, session.settings)
    with session.bodies.around(
        request.node, KnockKnock(interval, knock_interval_micros=knock_interval)
    ) as meter:
        yield meter


def tracer(request: pytest.FixtureRequest) -> Iterator[GilTracer]:
    """Yield a GilTracer that runs while the body of the test does."""
    with begin(request.config).bodies.around(request.node, _new_tracer()) as meter:
        yield meter


def _new_tracer() -> GilTracer:
    """Return one; skip the test where there is none to be had."""
    try:
        from gilknocker import GilTracer

        supported, reason = GilTracer.supported()
        if supported:
            return GilTracer()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    pytest.skip(f"gil_tracer: {reason}")
