"""Make the pictures of services that are measured all the time, anew: Prometheus, spans, a loop.

    pip install '.[integrations,plot]' playwright       (and Debian's prometheus and chromium)
    python docs/pictures/services.py [prometheus|spans|loop]

What they show is measured now. Where `make.py` is about one program, these need other processes.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

from service import free_port, service  # noqa: E402 (found by the line above)

APP = """
import json, threading, time
from fastapi import FastAPI
from prometheus_client import make_asgi_app
from gilknocker.integrations.prometheus import GilCollector

collector = GilCollector()
text = json.dumps(list(range(300_000)))

def parse(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        json.loads(text)

def work():
    while True:
        time.sleep(20)
        parse(20)
        threads = [threading.Thread(target=parse, args=(20,)) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]

threading.Thread(target=work, daemon=True).start()
app = FastAPI()
app.mount("/metrics", make_asgi_app())
"""
SCRAPE = "global: {{scrape_interval: 1s}}\nscrape_configs: [{{job_name: service, metrics_path: "
SCRAPE += "/metrics/, static_configs: [{{targets: ['{}']}}]}}]\n"
COLOURS = ("#c2571a", "#e9b44c", "#b8c4cc")
ASKED = (
    "rate(python_gil_held_seconds_total[5s]) / rate(python_gil_observed_seconds_total[5s])",
    "histogram_quantile(0.9, sum by (le) (rate(python_gil_wait_seconds_bucket[5s])))",
)


def prometheus() -> None:
    """Let Debian's Prometheus watch a service for a minute, and take a picture of its graphs."""
    from playwright.sync_api import sync_playwright

    ports = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "app.py").write_text(APP)
        (where / "prometheus.yml").write_text(SCRAPE.format(ports[0]))
        uvicorn = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", folder]
        uvicorn += ["--host", "127.0.0.1", "--port", ports[0].rpartition(":")[2]]
        server = ["prometheus", f"--config.file={where / 'prometheus.yml'}"]
        server += [f"--storage.tsdb.path={where / 'data'}", f"--web.listen-address={ports[1]}"]
        with (
            service(uvicorn, f"http://{ports[0]}/metrics/", where / "uvicorn.log"),
            service(server, f"http://{ports[1]}/-/ready", where / "prometheus.log"),
            sync_playwright() as playwright,
        ):
            time.sleep(70)
            chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 1250})
            panels = [
                f"g{number}.expr={urllib.parse.quote(promql)}&g{number}.tab=0&g{number}.range_input=70s"
                for number, promql in enumerate(ASKED)
            ]
            page.goto(f"http://{ports[1]}/graph?{'&'.join(panels)}")
            page.wait_for_timeout(5_000)
            page.screenshot(path=HERE / "prometheus.png", full_page=True)
            browser.close()


def compute(seconds: float) -> None:
    """Keep a thread busy in pure Python."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1_000))


def spans() -> None:
    """Draw a request's spans, each with where its time went by its attributes."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from gilknocker.integrations.opentelemetry import GilSpanProcessor

    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(GilSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("example")
    other = threading.Thread(target=compute, args=(0.5,), name="report")
    with tracer.start_as_current_span("GET /order"):
        with tracer.start_as_current_span("query"):
            time.sleep(0.06)
        other.start()
        with tracer.start_as_current_span("parse"):
            for _ in range(20):
                sum(range(60_000))
                time.sleep(0)
        with tracer.start_as_current_span("render"):
            sum(range(3_000_000))
    other.join()
    axes = new_axes(2.2)
    done = sorted(exporter.get_finished_spans(), key=lambda one: -(one.start_time or 0))
    first = min(one.start_time or 0 for one in done)
    names = {"gilknocker.gil.held": "held the GIL", "gilknocker.gil.waited": "waited for it"}
    for row, one in enumerate(done):
        begun = ((one.start_time or 0) - first) / 1e6
        whole = ((one.end_time or 0) - (one.start_time or 0)) / 1e6
        parts = {label: float((one.attributes or {})[name]) * 1e3 for name, label in names.items()}
        parts["neither"] = whole - sum(parts.values())
        for (label, length), colour in zip(parts.items(), COLOURS, strict=True):
            axes.barh(row, length, left=begun, color=colour, label=label if row == 0 else None)
            begun += length
    axes.set_yticks(range(len(done)), [one.name for one in done])
    axes.set_xlabel("ms")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=3, frameon=False)
    axes.figure.savefig(HERE / "spans.png", dpi=100)


def new_axes(height: float) -> Any:
    """Return axes as wide as those of the other pictures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(6.4, height), layout="constrained").add_subplot()


def loop() -> None:
    """Draw how late the ticks of a loop were, and why."""
    from gilknocker.integrations.asyncio import LoopWatch

    async def serve() -> list[tuple[float, tuple[float, float, float]]]:
        begun = time.monotonic_ns()
        with LoopWatch() as watch:
            await asyncio.sleep(0.3)
            compute(0.2)  # a callback that computes
            await asyncio.sleep(0.4)
            others = [threading.Thread(target=compute, args=(0.6,)) for _ in range(3)]
            for other in others:
                other.start()
            await asyncio.sleep(0.9)
            time.sleep(0.15)  # one that blocks
            await asyncio.sleep(0.3)
        return [
            ((late.at_ns - begun) / 1e9, (late.own_seconds, late.gil_seconds, late.machine_seconds))
            for late in watch.late
        ]

    late = asyncio.run(serve())
    axes = new_axes(2.6)
    labels = ("its own callbacks", "another thread held the GIL", "the machine")
    for number, (label, colour) in enumerate(zip(labels, COLOURS, strict=True)):
        heights = [parts[number] * 1e3 for _, parts in late]
        below = [sum(parts[:number]) * 1e3 for _, parts in late]
        axes.bar([at for at, _ in late], heights, 0.03, below, color=colour, label=label)
    axes.set_xlabel("s since the start")
    axes.set_ylabel("late, ms")
    axes.legend(frameon=False)
    axes.figure.savefig(HERE / "loop.png", dpi=100)


if __name__ == "__main__":
    for step in sys.argv[1:] or ["prometheus", "spans", "loop"]:
        {"prometheus": prometheus, "spans": spans, "loop": loop}[step]()
