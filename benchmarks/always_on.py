"""What it costs a service to be measured all the time: a uvicorn service with and without.

    .venv/bin/python benchmarks/always_on.py [--rounds N]     (needs gilknocker[integrations])

One service, in which a GilCollector is put and taken away again: two processes of the same program
differ by some percent. First it is idle, and its CPU time is read: of a core, in percent. Then it
answers requests over one connection, in turns of half a second with the collector and without, and
is compared by rounds of a second each: how many a second, and how much CPU time it took for each.
With the collector it is scraped once a second.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from machine import describe

APP = """
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, make_asgi_app
from gilknocker.integrations.prometheus import GilCollector

app = FastAPI()
registry = CollectorRegistry()
collectors = []
app.mount("/metrics", make_asgi_app(registry))

@app.get("/on")
async def on() -> None:
    collectors.append(GilCollector(registry=registry))

@app.get("/off")
async def off() -> None:
    collectors.pop().close()

@app.get("/")
async def answer() -> dict[str, int]:
    return {"sum": sum(range(2_000))}
"""
TURN_SECONDS = 0.5  # long beside the first burst of knocks, which comes at once
TURNS = 2  # with it, and as many without: a second each in all
IDLE_SECONDS = 5  # of a turn


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Answered(NamedTuple):
    """Requests that were answered, and what that took."""

    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """How many in a second."""
        return self.requests / self.seconds

    @property
    def cost(self) -> float:
        """CPU time for each, s."""
        return self.cpu_seconds / self.requests


class Service:
    """The service, until `end`."""

    def __init__(self, folder: Path) -> None:
        (folder / "metered.py").write_text(APP)
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", "metered:app", "--app-dir", str(folder)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "critical"]
        # Elsewhere: `python -m` finds modules here first, and here are the sources.
        self._process = subprocess.Popen([*command, "--no-access-log"], cwd=folder)
        deadline = time.monotonic() + 60
        while True:
            try:
                self.get("metrics/")
                break
            except OSError:
                if time.monotonic() > deadline:
                    self.end()
                    raise
                time.sleep(0.1)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def get(self, path: str) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=10) as page:
            page.read()

    def cpu_seconds(self) -> float:
        return time.clock_gettime(((~self._process.pid) << 3) | 2)  # see clock_getcpuclockid(3)

    def idle(self, scraped: bool) -> float:
        """Return how much of a core it takes in a turn without requests."""
        used = self.cpu_seconds()
        for _ in range(IDLE_SECONDS):
            time.sleep(1)
            if scraped:
                self.get("metrics/")
        return (self.cpu_seconds() - used) / IDLE_SECONDS

    def answer(self, scraped: bool) -> Answered:
        """Return how many requests it answers in a turn."""
        count, begin, used = 0, time.monotonic(), self.cpu_seconds()
        if scraped:
            self.get("metrics/")
        while (now := time.monotonic()) < begin + TURN_SECONDS:
            self._connection.request("GET", "/")
            self._connection.getresponse().read()
            count += 1
        return Answered(count, now - begin, self.cpu_seconds() - used)

    def round(self) -> tuple[Answered, Answered]:
        """Return what it answered in a second without the collector, and in one with it."""
        turns: dict[bool, list[Answered]] = {False: [], True: []}
        for number in range(TURNS):
            for metered in (False, True) if number % 2 else (True, False):
                if metered:
                    self.get("on")
                turns[metered].append(self.answer(scraped=metered and number == 0))
                if metered:
                    self.get("off")
        without, with_it = (Answered(*map(sum, zip(*of, strict=True))) for of in turns.values())
        return without, with_it

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def steal() -> int:
    """Return the ticks that the hypervisor took from this machine."""
    return int(Path("/proc/stat").read_text().split()[8])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--idle-turns", type=int, default=3)
    chosen = parser.parse_args()
    before = steal()
    idle: dict[bool, list[float]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder))
        try:
            for _ in range(chosen.idle_turns):
                idle[False].append(service.idle(scraped=False))
                service.get("on")
                idle[True].append(service.idle(scraped=True))
                service.get("off")
            rounds = [service.round() for _ in range(chosen.rounds)]
        finally:
            service.end()
    print(describe(), f"steal {steal() - before} ticks", sep="\n")
    plain, metered = (statistics.median(of) for of in idle.values())
    print(f"idle: {plain:.2%} of a core plain, {metered:.2%} measured and scraped each second")
    tell("requests a second", [with_it.rate / without.rate for without, with_it in rounds])
    tell("CPU a request", [with_it.cost / without.cost for without, with_it in rounds])
    busy = statistics.median(without.cpu_seconds / without.seconds for without, _ in rounds)
    print(f"(the service had {busy:.0%} of a core)")


def tell(name: str, ratios: list[float]) -> None:
    """Print by how much it differs with the collector from without."""
    low, median, high = (f"{at - 1:+.2%}" for at in statistics.quantiles(ratios, n=4))
    print(f"{name}: {median} (quartiles {low} to {high}), median of {len(ratios)} pairs")


if __name__ == "__main__":
    main()
