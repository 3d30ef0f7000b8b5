#!/usr/bin/env python3
"""How often small calls let go of the GIL, and what that costs beside a thread that computes.

``python atlas/small.py [--data FILE]`` measures with the Python that runs it, which has gilknocker,
and keeps the figures in ``docs/atlas/small.json``, beside those of other Pythons.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import queue
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from gilknocker import GilTracer

DATA = Path(__file__).resolve().parents[1] / "docs" / "atlas" / "small.json"
VERSION = 2
RUNS = 7
SECONDS = 0.6  # of a run of calls that are timed


def calls() -> dict[str, Callable[[], Any]]:
    """Return the calls by what the table calls them."""
    folder = Path(tempfile.mkdtemp(prefix="atlas-"))
    for i in range(5):
        (folder / f"{i}").write_bytes(b"x" * 10_000)
    path = str(folder / "0")
    base = sqlite3.connect(":memory:", check_same_thread=False)
    items: queue.Queue[int] = queue.Queue()
    logger = logging.Logger("atlas")
    logger.addHandler(logging.FileHandler(os.devnull))
    lock = threading.Lock()
    block = bytes(2_048)
    zlib = __import__("zlib")

    def put_and_get() -> None:
        items.put(1)
        items.get()

    def read() -> str:
        with open(path) as file:
            return file.read()

    def thread() -> None:
        one = threading.Thread(target=int)
        one.start()
        one.join()

    return {
        "`os.stat(path)`": lambda: os.stat(path),
        "`os.path.exists(path)`": lambda: os.path.exists(path),
        "`open(path).close()`": lambda: open(path).close(),
        "`open(path).read()`, 10 KB": read,
        "`os.listdir(folder)`, 5 entries": lambda: os.listdir(folder),
        "`list(os.scandir(folder))`, 5 entries": lambda: list(os.scandir(folder)),
        "`logger.warning(...)` to a file": lambda: logger.warning("a line"),
        "`queue.Queue`: put and get": put_and_get,
        "`with lock`, uncontended": lambda: lock.acquire() and lock.release(),
        "`sqlite3`: `select 1`, fetched": lambda: base.execute("select 1").fetchall(),
        "`zlib.compress(b'...')`, 10 bytes": lambda: zlib.compress(b"0123456789"),
        "`sha256(...)`, 2,047 bytes": lambda: sha256(block[:2_047]),
        "`sha256(...)`, 2,048 bytes": lambda: sha256(block),
        "`time.sleep(0)`": lambda: time.sleep(0),
        "`Thread`: start and join": thread,
        "`subprocess.run(['true'])`": lambda: subprocess.run(["true"]),
    }


def releases(call: Callable[[], Any]) -> float:
    """Return how often this thread lets go in one call."""
    call()
    counts = []
    for _ in range(RUNS):
        with GilTracer() as tracer:
            before = _own(tracer)
            for _ in range(4):
                call()
            counts.append((_own(tracer) - before) / 4)
    return statistics.median(counts)


def ns_a_call(call: Callable[[], Any]) -> float:
    """Return the mean time of a call: some are dear, and those are what matters."""
    done, begin = 0, time.perf_counter_ns()
    while (spent := time.perf_counter_ns() - begin) < SECONDS * 1e9:
        call()
        done += 1
    return spent / done


def beside_a_spinner(call: Callable[[], Any]) -> float:
    """Return the mean time of a call while another thread computes in pure Python, in ns."""
    over = False

    def spin() -> None:
        while not over:
            pass

    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        return ns_a_call(call)
    finally:
        over = True
        spinner.join()


def costs(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the time of a call alone and beside a spinner, in ns: medians of three, in turn."""
    pairs = [(ns_a_call(call), beside_a_spinner(call)) for _ in range(3)]
    return tuple(statistics.median(times) for times in zip(*pairs, strict=True))


def _own(tracer: GilTracer) -> int:
    me = threading.get_native_id()
    return sum(one.acquisitions for one in tracer.threads() if one.native_id == me)


def main() -> None:
    """Measure all of them and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="where the figures are kept")
    path: Path = parser.parse_args().data
    rows = {}
    for name, call in calls().items():
        alone, beside = costs(call)
        rows[name] = {"releases": releases(call), "alone_ns": alone, "beside_ns": beside}
        print(name, rows[name], flush=True)
    data = json.loads(path.read_text()) if path.exists() else {}
    data |= {"format": "gilknocker.atlas.small", "version": VERSION}
    version = ".".join(platform.python_version_tuple()[:2])
    data.setdefault("pythons", {})[version] = {
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "rows": rows,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
