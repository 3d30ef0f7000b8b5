"""What it costs a service to be measured all the time: a uvicorn service with and without.

    .venv/bin/python benchmarks/always_on.py [--rounds N]     (needs gilknocker[integrations])

Two services run side by side: a plain one, and one with a GilCollector that is scraped each second.
First both are idle, and their CPU time is read: of a core, in percent. Then requests go to the one
and the other in turns, one connection, and their rates are compared round by round.
"""

from __future__ import annotations

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

from machine import describe

APP = """
import sys
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, make_asgi_app

app = FastAPI()
registry = CollectorRegistry()
if METERED:
    from gilknocker.integrations.prometheus import GilCollector
    GilCollector(registry=registry)
app.mount("/metrics", make_asgi_app(registry))

@app.get("/")
async def answer() -> dict[str, int]:
    return {"sum": sum(range(2_000))}
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Service:
    """One of the two, until `end`."""

    def __init__(self, folder: Path, name: str, metered: bool) -> None:
        (folder / f"{name}.py").write_text(f"METERED = {metered}\n{APP}")
        self.port = free_port()
        command = [sys.executable, "-m", "uvicorn", f"{name}:app", "--app-dir", str(folder)]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--log-level", "critical"]
        self._process = subprocess.Popen([*command, "--no-access-log"])
        deadline = time.monotonic() + 60
        while True:
            try:
                self.scrape()
                break
            except OSError:
                if time.monotonic() > deadline:
                    self.end()
                    raise
                time.sleep(0.1)
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def scrape(self) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics/", timeout=5) as page:
            page.read()

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rate(self, seconds: float) -> float:
        """Return how many requests it answers in a second."""
        count, begin = 0, time.monotonic()
        while (now := time.monotonic()) < begin + seconds:
            self._connection.request("GET", "/")
            self._connection.getresponse().read()
            count += 1
        return count / (now - begin)

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(20)


def steal() -> int:
    """Return the ticks that the hypervisor took from this machine."""
    return int(Path("/proc/stat").read_text().split()[8])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--idle-seconds", type=float, default=30)
    chosen = parser.parse_args()
    before = steal()
    stop = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        plain = Service(Path(folder), "plain", False)
        metered = Service(Path(folder), "metered", True)

        def scrape_each_second() -> None:
            while not stop.wait(1):
                metered.scrape()

        scraper = threading.Thread(target=scrape_each_second)
        scraper.start()
        try:
            used = [one.cpu_seconds() for one in (plain, metered)]
            time.sleep(chosen.idle_seconds)
            idle = [
                (one.cpu_seconds() - had) / chosen.idle_seconds
                for one, had in zip((plain, metered), used, strict=True)
            ]
            ratios = []
            for number in range(chosen.rounds):
                pair = (plain, metered) if number % 2 else (metered, plain)
                rates = {one.port: one.rate(0.5) for one in pair}
                ratios.append(rates[metered.port] / rates[plain.port])
        finally:
            stop.set()
            scraper.join()
            plain.end()
            metered.end()
    print(describe(), f"steal {steal() - before} ticks", sep="\n")
    print(f"idle: {idle[0]:.2%} of a core plain, {idle[1]:.2%} measured and scraped each second")
    median = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"requests a second: {median - 1:+.2%} (quartiles {low - 1:+.2%} to {high - 1:+.2%}), "
        f"median of {len(ratios)} pairs"
    )


if __name__ == "__main__":
    main()
