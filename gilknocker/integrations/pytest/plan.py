"""How one test is to be measured: its marks over the options."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from gilknocker.integrations.pytest import marks
from gilknocker.integrations.pytest.limits import knock_interval_for
from gilknocker.integrations.pytest.meter import Meter
from gilknocker.meters.arguments import DEFAULT_INTERVAL_MICROS, INTERVALS_PER_KNOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gilknocker.integrations.pytest.limits import Limit
    from gilknocker.integrations.pytest.options import Settings

__all__ = ["Plan", "intervals", "plan_of"]


@dataclass(frozen=True)
class Plan:
    """How a test is measured. Tests of equal plans can share a meter: limits do not count.

    Attributes
    ----------
    method : {"auto", "knock", "trace"}
        What measures.
    interval_micros, knock_interval_micros : int
        The mean intervals of looks and of knocks.
    holds_ns : int
        From which length on single holds matter, 0 if they do not. Then they are traced, whatever
        the method, for nothing else tells one hold from many; and somebody asks for the GIL: Python
        code lets go of it only then, and one that nobody asks seems to hold it for ever.
    limits : tuple of Limit
        What the test must keep to.
    """

    method: str
    interval_micros: int
    knock_interval_micros: int
    holds_ns: int = 0
    limits: tuple[Limit, ...] = field(default=(), compare=False)

    def meter(self) -> Meter:
        """Return a new meter for it."""
        return Meter(
            self.method, self.interval_micros, self.knock_interval_micros, holds_ns=self.holds_ns
        )


def plan_of(item: pytest.Item, settings: Settings) -> Plan | None:
    """Return how a test is to be measured, None if it is not.

    Raises
    ------
    pytest.UsageError
        If a mark of it has a bad value.
    """
    limits = marks.limits_of(item) if settings.limits else ()
    if not limits and not settings.enabled:
        return None
    own = marks.knocker_of(item)
    interval, knock_interval = intervals(own, settings)
    if own.knock_interval_micros is None:
        needed = (knock_interval_for(limit.ns) for limit in limits if limit.ns)
        knock_interval = min([knock_interval, *needed])
    return Plan(
        method=own.method or settings.method,
        interval_micros=interval,
        knock_interval_micros=knock_interval,
        holds_ns=sum(limit.ns for limit in limits if limit.name == "limit_gil_hold"),
        limits=limits,
    )


def intervals(own: marks.Knocker, settings: Settings) -> tuple[int, int]:
    """Return the intervals of looks and of knocks in µs, whatever limits there are."""
    interval = own.interval_micros or settings.interval_micros or DEFAULT_INTERVAL_MICROS
    return interval, own.knock_interval_micros or INTERVALS_PER_KNOCK * interval
