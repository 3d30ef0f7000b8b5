"""The GIL's metrics for OpenTelemetry, and what it cost each span or request.

>>> from gilknocker.integrations import opentelemetry
>>> opentelemetry.instrument()  # doctest: +SKIP

From then on the meter provider has:

``gilknocker.gil.time`` (counter, s)
    With ``gilknocker.gil.state`` ``"held"`` or ``"free"``.
``gilknocker.gil.utilization`` (gauge, 1)
    The share of it that was held, since the last collection at least 0.1 s before.
``gilknocker.gil.wait.duration`` (histogram, s)
    What a thread that asks for the GIL waits: of knocks.

Spans and requests get ``gilknocker.gil.waited``, ``gilknocker.gil.held`` and
``gilknocker.gil.held_by_others`` (s): :class:`GilSpanProcessor`, :class:`GilAsgiMiddleware`,
:class:`GilWsgiMiddleware`. Names under ``cpython`` would be the standard's to give.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

from gilknocker._checks import shown
from gilknocker.integrations.always_on import BUCKETS_SECONDS, Source, Turns, positive, waits
from gilknocker.integrations.spans import SharedTracer, tell
from gilknocker.reports.plotting import require

require("opentelemetry.sdk", "opentelemetry", "gilknocker.integrations.opentelemetry")

from opentelemetry.metrics import Observation, get_meter_provider  # noqa: E402
from opentelemetry.sdk.trace import SpanProcessor  # noqa: E402

from gilknocker.integrations.middlewares import (  # noqa: E402
    GilAsgiMiddleware,
    GilWsgiMiddleware,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from opentelemetry.metrics import MeterProvider as _MeterProvider

    from gilknocker.meters.knock_knock import KnockKnock
    from gilknocker.meters.tracer import GilTracer
    from gilknocker.snapshot.value import Snapshot

__all__ = [
    "GilAsgiMiddleware",
    "GilSpanProcessor",
    "GilWsgiMiddleware",
    "instrument",
    "uninstrument",
]

STATE = "gilknocker.gil.state"
_LEAST_WINDOW = 0.1  # seconds, of the utilization


def instrument(
    meter_provider: _MeterProvider | None = None,
    *,
    knocker: KnockKnock | None = None,
    period_seconds: float = 1.0,
) -> None:
    """Give a meter provider the metrics of this process's GIL.

    In servers that fork: in each worker, after the fork, as the SDK wants it of all of itself.

    Parameters
    ----------
    meter_provider : opentelemetry.metrics.MeterProvider, optional
        By default the global one.
    knocker : KnockKnock, optional
        The meter to read, started and stopped by its owner. By default one of its own, with ten
        knocks 1 ms apart in each 0.2 s.
    period_seconds : float, default 1
        How often new waits are recorded: more than 0.

    Raises
    ------
    RuntimeError
        If a provider is instrumented already.
    TypeError, ValueError
        If an argument is something else.

    Notes
    -----
    Waits are recorded as the middles of narrow buckets: at most 0.8 % off, and their explicit
    buckets, powers of 4 from 1 µs to 16.8 s, are exact.
    """
    period = positive("period_seconds", period_seconds)
    provider = get_meter_provider() if meter_provider is None else meter_provider
    if not hasattr(provider, "get_meter"):
        raise TypeError(f"meter_provider must be a MeterProvider or None, not {shown(provider)}")
    with _LOCK:
        if any(one.metering is not None for one in _INSTRUMENTS):
            raise RuntimeError("the GIL's metrics are instrumented already: uninstrument() first")
        instruments = next((one for one in _INSTRUMENTS if one.are_of(provider)), None)
        metering = _Metering(knocker, (0.0, 0.0) if instruments is None else instruments.told)
        if instruments is None:
            instruments = _Instruments(provider)
            _INSTRUMENTS.append(instruments)
        instruments.metering = metering
        record = instruments.histogram.record
        metering.turns = Turns(lambda: metering.record_waits(record), period, "GilMetrics")


def uninstrument() -> None:
    """End the metrics: no thread, no knocker, and nothing that is told any more.

    Instruments cannot be taken from a meter: they stay, silent, and the next `instrument` of the
    same provider uses them again.
    """
    with _LOCK:
        for instruments in _INSTRUMENTS:
            metering, instruments.metering = instruments.metering, None
            if metering is not None:
                metering.close()
                instruments.told = metering.told


class _Metering:
    """What is measured between `instrument` and `uninstrument`.

    Parameters
    ----------
    knocker : KnockKnock or None
        As of `instrument`.
    told : (float, float), default zeros
        What the counter of the same instruments told last: it goes on from there.

    Attributes
    ----------
    told : (float, float)
        (held, free) as they were last told, in seconds.
    """

    turns: Turns

    def __init__(self, knocker: KnockKnock | None, told: tuple[float, float] = (0.0, 0.0)) -> None:
        self._source = Source(knocker)
        self._lock = Lock()
        self._recorded: Snapshot | None = None
        self.told = told
        self._begin(os.getpid())
        held, observed = self._read()
        # An owner's knocker that runs on has what was told before.
        self._base = max(told[0] - held, 0.0), max(told[1] - (observed - held), 0.0)

    def _begin(self, pid: int | None) -> None:
        self._pid = pid
        self._base = self.told
        self._free = 0.0
        self._window: tuple[float, float] = 0.0, 0.0  # (held, observed) where it began
        self._utilization: float | None = None  # of the last window

    def _read(self) -> tuple[float, float]:
        """Return (held, observed) so far, in seconds."""
        totals = self._source.totals()
        total = totals.snapshot()
        if total.pid != self._pid:  # in a forked child they begin at zero
            self._begin(total.pid)
        held = totals.held_seconds(total)
        return held, max(total.observed_seconds, held)

    def times(self) -> tuple[float, float]:
        """Return (held, free) so far, in seconds: neither ever decreases."""
        with self._lock:
            held, observed = self._read()
            # From looks what is held is a share of the time, which may rise by more than passed.
            self._free = max(self._free, observed - held)
            self.told = self._base[0] + held, self._base[1] + self._free
            return self.told

    def utilization(self) -> float:
        """Return the held share since the last time, if that is no shorter than a window may be."""
        with self._lock:
            held, observed = self._read()
            held_before, observed_before = self._window
            passed = observed - observed_before
            # Several readers collect one after the other: without this, all but the first would be
            # told of the time that a collection takes.
            if self._utilization is not None and passed < _LEAST_WINDOW:
                return self._utilization
            share = min(max((held - held_before) / passed, 0.0), 1.0) if passed else 0.0
            if passed >= _LEAST_WINDOW:
                self._window, self._utilization = (held, observed), share
            return share

    def record_waits(self, record: Callable[[float], None]) -> None:
        total = self._source.totals().snapshot()
        new = total if self._recorded is None else total - self._recorded
        self._recorded = total
        for wait in waits(new.histogram):
            record(wait)

    def close(self) -> None:
        self.turns.close()
        self._source.close()


class _Instruments:
    """Of one provider, once and for all; `metering` is None while nothing is to be told."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        # Before one is set it is a proxy, which passes these instruments on to what is set.
        self._global = provider is get_meter_provider()
        self.metering: _Metering | None = None
        self.told = 0.0, 0.0  # by the last metering that was closed
        meter = provider.get_meter("gilknocker")
        meter.create_observable_counter(
            "gilknocker.gil.time",
            [self._times],
            unit="s",
            description="Time in which the GIL was held by a thread of the program, or free.",
        )
        meter.create_observable_gauge(
            "gilknocker.gil.utilization",
            [self._utilization],
            unit="1",
            description="Share of the time that the GIL was held, since the last collection.",
        )
        self.histogram = meter.create_histogram(
            "gilknocker.gil.wait.duration",
            unit="s",
            description="Waits for the GIL, of knocks.",
            explicit_bucket_boundaries_advisory=BUCKETS_SECONDS,
        )

    def are_of(self, provider: Any) -> bool:
        """Whether a provider has these instruments already."""
        return provider is self._provider or (self._global and provider is get_meter_provider())

    def _times(self, options: object) -> Iterator[Any]:
        metering = self.metering
        if metering is not None:
            held, free = metering.times()
            yield Observation(held, {STATE: "held"})
            yield Observation(free, {STATE: "free"})

    def _utilization(self, options: object) -> Iterator[Any]:
        metering = self.metering
        if metering is not None:
            yield Observation(metering.utilization())


_LOCK = Lock()
_INSTRUMENTS: list[_Instruments] = []


class GilSpanProcessor(SpanProcessor):  # type: ignore[misc]  # Any, for mypy
    """Tells of each span what the GIL cost the thread that was in it.

    Parameters
    ----------
    tracer : GilTracer, optional
        A running tracer of yours. By default ours, which all of these and the middlewares of a
        process share: it runs until the last of them is closed, this one by the provider's
        shutdown.

    Raises
    ------
    GilTracerUnsupported
        Where the GIL cannot be traced.

    Notes
    -----
    A span that ends on another thread than it began on gets no attribute. The numbers are the
    thread's: of an async program, also of the tasks that ran in between
    (:class:`GilAsgiMiddleware` counts those of a request alone).
    """

    def __init__(self, tracer: GilTracer | None = None) -> None:
        self._tracer = SharedTracer(tracer)
        self._share = self._tracer.share

    def on_start(self, span: Any, parent_context: object = None) -> None:
        """Let the span tell when it ends."""
        share, end = self._share, span.end

        # Where the SDK tells its processors of the end, nothing can be added to a span any more.
        def measured_end(end_time: int | None = None) -> None:
            after = share()
            try:
                del span.end
            except AttributeError:  # not its first end
                pass
            else:
                tell(span, before, after)
            end(end_time)

        span.end = measured_end
        before = share()

    def shutdown(self) -> None:
        """Use the tracer no longer."""
        self._tracer.close()

    # That of the base class returns None in some SDKs, which take it for a failure.
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True: nothing is kept here."""
        return True
