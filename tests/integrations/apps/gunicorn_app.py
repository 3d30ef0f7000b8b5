"""A WSGI service whose workers hold their GILs for a known share of the time."""

from __future__ import annotations

import os
import threading
from typing import Any

from prometheus_client import CollectorRegistry, Counter, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector

from gilknocker import GilTracer
from gilknocker.testing import GilLoad

registry = CollectorRegistry()
MultiProcessCollector(registry)
metrics_app = make_wsgi_app(registry)


def app(environ: dict[str, Any], start_response: Any) -> Any:
    if environ["PATH_INFO"] == "/metrics":
        return metrics_app(environ, start_response)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]


def hold_and_tell() -> None:
    held = Counter("exact_held_seconds", "By the tracer.")
    observed = Counter("exact_seconds", "By the tracer.")
    with GilTracer(0) as tracer, GilLoad(0.008, 0.012, sleep=True, random=True):
        before = tracer.snapshot()
        while True:
            threading.Event().wait(0.25)
            now = tracer.snapshot()
            held.inc((now - before).held_seconds)
            observed.inc((now - before).observed_seconds)
            before = now


threading.Thread(target=hold_and_tell, daemon=True).start()
