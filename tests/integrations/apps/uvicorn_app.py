"""A FastAPI service that holds its GIL for a known share of the time, and says so exactly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, make_asgi_app
from prometheus_client.core import CounterMetricFamily

from gilknocker import GilTracer
from gilknocker.integrations.prometheus import GilCollector
from gilknocker.testing import GilLoad

registry = CollectorRegistry()
tracer = GilTracer(0)
collector = GilCollector(registry=registry, tracer=tracer)


class Exact:
    def describe(self) -> list[CounterMetricFamily]:
        return []

    def collect(self) -> list[CounterMetricFamily]:
        snapshot = tracer.snapshot()
        return [
            CounterMetricFamily("exact_held_seconds", "By the tracer.", snapshot.held_seconds),
            CounterMetricFamily("exact_seconds", "By the tracer.", snapshot.observed_seconds),
        ]


registry.register(Exact())


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with tracer, GilLoad(0.006, 0.014, sleep=True, random=True):
        yield
    collector.close()


app = FastAPI(lifespan=lifespan)
app.mount("/metrics", make_asgi_app(registry))
