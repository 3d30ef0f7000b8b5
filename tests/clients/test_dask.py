"""dask.distributed with this package in place of the original: all that it does with it.

Each program runs in a process of its own, warnings as errors, as distributed's own tests have them,
and must end with status 0 and silence.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")

# Loaded before warnings are errors: those of its own dependencies are not about us.
PRELUDE = """
import gc, sys, threading, time, warnings
import dask, distributed
from distributed import Client, LocalCluster
from distributed.system_monitor import SystemMonitor
import gilknocker
assert gilknocker.__version__.startswith("1."), gilknocker
dask.config.set({"distributed.admin.system-monitor.gil.enabled": True})
warnings.simplefilter("error")

def spin(seconds=0.8):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))

def ours():
    from pathlib import Path
    from contextlib import suppress
    names = []
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it ended meanwhile
            names.append(path.read_text().strip())
    return [name for name in names if name.startswith("gilknock")]
"""
# On any free port: another cluster on this machine may have the usual one, and that is a warning.
CLUSTER = """
if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=2, processes={processes}, dashboard_address=":0",
    ) as cluster, Client(cluster) as client:
        def look(dask_worker):
            monitor = dask_worker.monitor
            monitor.update()
            read = monitor.cumulative_gil_contention
            return monitor._gilknocker.is_running, read, monitor.recent()["gil_contention"]
        client.run(look)
        wait(client, {seconds})
        seen = client.run(look)
        print(*(value for one in seen.values() for value in one))
"""


def run(program: str) -> str:
    return ended("-c", PRELUDE + program)


def ended(*program: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", *program],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    return done.stdout


def test_the_system_monitor() -> None:
    run(
        """
monitor = SystemMonitor()
assert type(monitor.update()["gil_contention"]) is float
before = monitor.cumulative_gil_contention
for _ in range(3):
    spin()
    metric = monitor.update()["gil_contention"]
    assert 0.5 < metric <= 1.0, metric
    assert type(metric) is float
busy = monitor.cumulative_gil_contention - before
assert 0.4 < busy < 5, busy
assert 0.0 <= monitor.update()["gil_contention"] <= 1.0  # back to back
assert monitor._gilknocker.is_running
assert list(monitor.range_query(0)["gil_contention"])[-1] == monitor._last_gil_contention
start = time.monotonic()
monitor.close()
monitor.close()
assert time.monotonic() - start < 2
assert not monitor._gilknocker.is_running
while ours():  # one that was joined is there a moment longer
    assert time.monotonic() - start < 60
    time.sleep(0.001)
assert 0.0 <= monitor.update()["gil_contention"] <= 1.0
assert monitor.update()["gil_contention"] == 0.0
"""
    )


@pytest.mark.parametrize("interval", ["10us", "1ms", "5ms", "1s"])
def test_intervals_that_users_set(interval: str) -> None:
    run(
        f"""
with dask.config.set({{"distributed.admin.system-monitor.gil.interval": {interval!r}}}):
    monitor = SystemMonitor()
assert monitor.monitor_gil_contention
assert 0.0 <= monitor.update()["gil_contention"] <= 1.0
monitor.close()
"""
    )


def test_monitors_that_are_never_closed() -> None:
    for _ in range(5):
        run(
            """
kept = [SystemMonitor() for _ in range(10)]
for one in kept:
    one.update()
del kept[:5]
"""
        )


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
def test_a_local_cluster(tmp_path: Path, processes: bool, busy: bool) -> None:
    path = tmp_path / "program.py"
    work = (
        "client.gather(client.map(spin, [seconds] * 4, pure=False))"
        if busy
        else "time.sleep(seconds)"
    )
    path.write_text(
        PRELUDE
        + f"def wait(client, seconds):\n    {work}\n"
        + CLUSTER.format(processes=processes, seconds=1.0)
    )
    words = ended(path).split()
    assert len(words) == 6, words
    for running, total, recent in zip(*[iter(words)] * 3, strict=True):
        assert running == "True"
        assert 0.0 <= float(recent) <= 1.0
        assert (0.3 < float(total) < 20) if busy else (float(total) < 1.5)


def test_the_prometheus_counter() -> None:
    pytest.importorskip("prometheus_client")
    run(
        """
import json, urllib.request
def counters(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return [float(line.split()[-1]) for line in lines
            if "gil_contention" in line and not line.startswith("#")]
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False,
                  dashboard_address="127.0.0.1:0") as cluster, Client(cluster):
    ports = [cluster.scheduler.http_server.port, cluster.workers[0].http_server.port]
    # A page tells of all servers of the process that have been asked for theirs.
    [counters(port) for port in ports]
    seen = [counters(port) for port in ports]
    spin(2.0)
    for port, before in zip(ports, seen):
        after = counters(port)
        assert len(before) == len(after) > 0
        assert all(one <= other for one, other in zip(before, after)), (before, after)
        assert sum(after) - sum(before) > 0.3, (before, after)
"""
    )
