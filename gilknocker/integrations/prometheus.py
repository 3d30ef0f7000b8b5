"""The GIL's metrics for Prometheus, of one process or of many under gunicorn.

>>> from gilknocker.integrations.prometheus import GilCollector
>>> collector = GilCollector()  # doctest: +SKIP

From then on the default registry tells:

``python_gil_held_seconds_total``
    How long a thread of the program held the GIL.
``python_gil_observed_seconds_total``
    How long that was watched: ``rate()`` of the one over that of the other is the held fraction.
``python_gil_stalls_total``
    Waits of knocks of at least `stall_seconds`, and some that are up to 1/64 shorter.
``python_gil_wait_seconds{source="knock"|"trace"}``
    Histogram of what a thread that asks for the GIL waits, or what the program's threads did wait.
"""

from __future__ import annotations

import math
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from gilknocker._checks import shown
from gilknocker.integrations.always_on import (
    BOUNDS_NS,
    BUCKETS_SECONDS,
    Source,
    Turns,
    checked_tracer,
    positive,
    waits,
)
from gilknocker.meters.totals import Totals
from gilknocker.reports.plotting import require

require("prometheus_client", "prometheus", "gilknocker.integrations.prometheus")

from prometheus_client import (  # noqa: E402
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
)
from prometheus_client.core import (  # noqa: E402
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from gilknocker.meters.knock_knock import KnockKnock
    from gilknocker.meters.tracer import GilTracer
    from gilknocker.snapshot.histogram import WaitHistogram
    from gilknocker.snapshot.value import Snapshot

__all__ = ["GilCollector", "GilMetrics"]

STALL_SECONDS = 0.2
_HELD = "python_gil_held_seconds", "Time that a thread of the program held the GIL."
_OBSERVED = "python_gil_observed_seconds", "Time in which the GIL was watched."
_STALLS = "python_gil_stalls", "Waits of knocks for the GIL that were stalls."
_WAIT = "python_gil_wait_seconds", "Waits for the GIL: of knocks, or of the program's threads."


class GilCollector:
    """Tells a registry of prometheus_client how busy the GIL is, when it is scraped.

    Parameters
    ----------
    knocker : KnockKnock, optional
        The meter to read, started and stopped by its owner. By default one of this collector's
        own, with ten knocks 1 ms apart in each 0.2 s: until `close`, and in forked children too.
    registry : prometheus_client.CollectorRegistry or None, optional
        Where to register; None is nowhere.
    tracer : GilTracer, optional
        A running tracer: its waits come as ``source="trace"``, beside those of knocks.
    stall_seconds : float, default 0.2
        From which wait on a knock has met a stall: more than 0. A wait that is shorter by less
        than 1/64 of that may count, too.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.
    ValueError
        If there is such a collector in the registry already.

    Notes
    -----
    Several threads may scrape at once. A scrape reads numbers; it does not knock, and takes some
    0.1 ms. With ``PROMETHEUS_MULTIPROC_DIR``, where prometheus_client leaves collectors out, use
    :class:`GilMetrics`.
    """

    def __init__(
        self,
        knocker: KnockKnock | None = None,
        registry: CollectorRegistry | None = REGISTRY,
        *,
        tracer: GilTracer | None = None,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._stall_ns = _stall_ns(stall_seconds)
        self._registry = _checked_registry(registry)
        checked_tracer(tracer)
        self._trace = None if tracer is None else Totals(tracer)
        self._meter = Source(knocker)
        try:
            if registry is not None:
                registry.register(self)
        except BaseException:
            self._meter.close()
            raise

    def describe(self) -> Iterator[Metric]:
        """Return the families without values: nothing is measured to register them."""
        return _families()

    def collect(self) -> Iterator[Metric]:
        """Return the families as they are now."""
        totals = self._meter.totals()
        total = totals.snapshot()
        sources = {"knock": total}
        if self._trace is not None:
            sources["trace"] = self._trace.snapshot()
        return _families(
            totals.held_seconds(total),
            total.observed_seconds,
            _stalls(total.histogram, self._stall_ns),
            sources,
        )

    def close(self) -> None:
        """Take it out of the registry, and stop the knocker if it is its own. Once is enough."""
        registry, self._registry = self._registry, None
        try:
            _unregister(registry, self)
        finally:
            self._meter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class GilMetrics:
    """The same metrics in prometheus_client's multiprocess mode: ordinary ones, updated in turns.

    To be made in each worker (gunicorn: in ``post_fork`` of its configuration) with
    ``PROMETHEUS_MULTIPROC_DIR`` set, and closed at its end (``worker_exit``). What was counted
    stays in the files of that folder when a worker dies: of one that is killed, the last `period`
    is missing. A worker that takes its place begins at zero with a file of its own.

    Parameters
    ----------
    knocker : KnockKnock, optional
        As of :class:`GilCollector`.
    registry : prometheus_client.CollectorRegistry or None, optional
        Where this process registers them; None is nowhere. What is scraped is a registry with a
        ``MultiProcessCollector``.
    period_seconds : float, default 1
        How often a thread adds what is new: more than 0.
    stall_seconds : float, default 0.2
        As of :class:`GilCollector`.

    Raises
    ------
    TypeError, ValueError
        If an argument is something else.
    ValueError
        If these metrics are in the registry already.

    Notes
    -----
    prometheus_client has no way to add to a histogram but wait by wait: each counts as the middle
    of its bucket of ours, so that ``_sum`` is at most 0.8 % off. Buckets are exact.
    """

    def __init__(
        self,
        knocker: KnockKnock | None = None,
        registry: CollectorRegistry | None = REGISTRY,
        *,
        period_seconds: float = 1.0,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._stall_ns = _stall_ns(stall_seconds)
        period = positive("period_seconds", period_seconds)
        self._made: list[Any] = []
        self._registry = _checked_registry(registry)
        self._meter = Source(knocker)
        try:
            self._held = self._make(Counter, *_HELD)
            self._observed = self._make(Counter, *_OBSERVED)
            self._stalls = self._make(Counter, *_STALLS)
            self._waits = self._make(
                Histogram, *_WAIT, labelnames=["source"], buckets=BUCKETS_SECONDS
            ).labels("knock")
        except BaseException:
            self._unregister()
            self._meter.close()
            raise
        self._before: tuple[float, Snapshot] | None = None
        self._turns = Turns(self._update, period, "GilMetrics")

    def update(self) -> None:
        """Add what is new since the last time; the thread does so each period."""
        self._turns.now()

    def _update(self) -> None:
        totals = self._meter.totals()
        total = totals.snapshot()
        held = totals.held_seconds(total)
        held_before, new = 0.0, total
        if self._before is not None:
            held_before, before = self._before
            new = total - before
        self._before = held, total
        self._held.inc(held - held_before)
        self._observed.inc(new.observed_seconds)
        self._stalls.inc(_stalls(new.histogram, self._stall_ns))
        for wait in waits(new.histogram):
            self._waits.observe(wait)

    def close(self) -> None:
        """Add what is new and end the thread, and the knocker if it is its own."""
        with ExitStack() as at_end:  # also where one of them fails
            at_end.callback(self._meter.close)
            at_end.callback(self._unregister)
            if not self._turns.close():
                at_end.pop_all()

    def _make(self, kind: Any, name: str, text: str, **more: object) -> Any:
        made = kind(name, text, registry=self._registry, **more)
        self._made.append(made)
        return made

    def _unregister(self) -> None:
        while self._made:
            _unregister(self._registry, self._made.pop())


def _checked_registry(registry: CollectorRegistry | None) -> CollectorRegistry | None:
    """Return `registry`, or raise TypeError."""
    if registry is not None and not isinstance(registry, CollectorRegistry):
        raise TypeError(f"registry must be a CollectorRegistry or None, not {shown(registry)}")
    return registry


def _unregister(registry: CollectorRegistry | None, one: Any) -> None:
    """Take one out of a registry, if there is one and nobody else has."""
    if registry is not None:
        with suppress(KeyError):
            registry.unregister(one)


def _families(
    held: float | None = None,
    observed: float | None = None,
    stalls: int | None = None,
    sources: dict[str, Snapshot] | None = None,
) -> Iterator[Metric]:
    yield CounterMetricFamily(*_HELD, value=held)
    yield CounterMetricFamily(*_OBSERVED, value=observed)
    yield CounterMetricFamily(*_STALLS, value=stalls)
    family = HistogramMetricFamily(*_WAIT, labels=["source"])
    for source, snapshot in (sources or {}).items():
        family.add_metric([source], _buckets(snapshot.histogram), snapshot.wait_total_ns / 1e9)
    yield family


def _buckets(histogram: WaitHistogram) -> list[tuple[str, int]]:
    """Return (le, count) of each bound: how many waits were shorter."""
    counts = [0] * (len(BOUNDS_NS) + 1)
    place = 0
    for lower, _, count in histogram:
        while place < len(BOUNDS_NS) and lower >= BOUNDS_NS[place]:
            place += 1
        counts[place] += count
    reached = 0
    buckets = []
    for bound, count in zip((*BUCKETS_SECONDS, math.inf), counts, strict=True):
        reached += count
        buckets.append((floatToGoString(bound), reached))
    return buckets


def _stalls(histogram: WaitHistogram, stall_ns: int) -> int:
    # With the whole bucket that the limit is in: no wait of at least that is missed.
    return sum(count for _, upper, count in histogram if upper > stall_ns)


def _stall_ns(seconds: float) -> int:
    return round(positive("stall_seconds", seconds) * 1e9)
