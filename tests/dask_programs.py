"""Programs with a real Dask cluster of processes, on loopback: what their tests share."""

from __future__ import annotations

import subprocess
import sys
from functools import reduce
from typing import Any

import pytest

PROGRAM = """
import json, os, signal, sys, time
import dask
from distributed import Client, LocalCluster
from gilknocker.integrations.dask import GilWorkerPlugin, watch
from gilknocker.testing import hold_gil

dask.config.set({"distributed.admin.system-monitor.gil.enabled": ENABLED, **SETTINGS})

def hold(seconds):
    hold_gil(seconds)

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def until(reached):
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)

def threads(dask_worker):
    from pathlib import Path
    from contextlib import suppress
    found = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it ended meanwhile
            found += path.read_text().startswith("gilknock")
    return found

def two_threads_each(client):
    # One that was started has its name a moment later, and one that was joined is still there.
    until(lambda: set(client.run(threads).values()) == {2})

def told(client):
    workers = client.scheduler_info()["workers"].values()
    return [one["metrics"]["gil"] for one in workers if "gil" in one["metrics"]]

BEFORE

def main():
    options = {"n_workers": 2, "threads_per_worker": THREADS, "dashboard_address": DASHBOARD}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        BODY

if __name__ == "__main__":
    main()
"""


def run_file(
    tmp_path_factory: pytest.TempPathFactory,
    body: str,
    enabled: bool = True,
    settings: dict[str, Any] | None = None,
    before: str = "",
    threads_per_worker: int = 1,
    dashboard: str | None = None,
) -> str:
    path = tmp_path_factory.mktemp("dask") / "program.py"
    lines = body.strip("\n").splitlines()
    indented = "\n".join("        " + line for line in lines).lstrip()
    parts = {
        "DASHBOARD": repr(dashboard),
        "BODY": indented,
        "BEFORE": before,
        "ENABLED": str(enabled),
        "SETTINGS": repr(settings or {}),
        "THREADS": str(threads_per_worker),
    }
    path.write_text(reduce(lambda text, part: text.replace(*part), parts.items(), PROGRAM))
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
