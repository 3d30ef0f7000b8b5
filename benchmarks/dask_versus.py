"""The original gilknocker inside Dask beside ours: what the workers read, and what that costs them.

    python -m venv /tmp/original && /tmp/original/bin/pip install 'gilknocker==0.4.*' distributed
    .venv/bin/python benchmarks/dask_versus.py /tmp/original/bin/python .venv/bin/python

Each Python in turn has a cluster of two workers of a thread each, with Dask's defaults: without a
knocker, and with it; idle, then busy in pure Python. Medians of rounds. The reading is what Dask
makes of it: the share of the time in which the GIL was held. CPU is the workers' own, of one core.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

ROUNDS = 2
SECONDS = 3.0


def spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))


def cumulative(dask_worker) -> tuple[float, float, float]:  # type: ignore[no-untyped-def]
    """Return what a worker's monitor has read in all, its CPU time, and when, s."""
    dask_worker.monitor.update()
    read = getattr(dask_worker.monitor, "cumulative_gil_contention", 0.0)
    return read, time.process_time(), time.monotonic()


def one(enabled: bool) -> dict[str, list[float]]:
    """Return readings and CPU shares of both workers, idle and busy."""
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.admin.system-monitor.gil.enabled": enabled})
    found: dict[str, list[float]] = {}
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        time.sleep(1)
        for state in ("idle", "busy"):
            before = client.run(cumulative)
            if state == "busy":
                work = client.map(spin, [SECONDS, SECONDS + 0.001], pure=False)
                client.gather(work)
            else:
                time.sleep(SECONDS)
            after = client.run(cumulative)
            for place, name in enumerate(("read", "cpu")):
                found[f"{name} {state}"] = [
                    (end[place] - begin[place]) / (end[2] - begin[2])
                    for begin, end in zip(before.values(), after.values(), strict=True)
                ]
    return found


def main() -> None:
    from machine import describe
    from steal import StealTime

    stolen = StealTime()
    seen: dict[tuple[str, bool], dict[str, list[float]]] = {}
    names = {}
    for python in sys.argv[1:]:
        ask = "from importlib.metadata import version as v; print(v('gilknocker'))"
        # Not from the sources, whose metadata would be found first.
        said = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True)
        names[python] = f"gilknocker {said.stdout.strip()}"
    for _ in range(ROUNDS):
        for python in names:
            for enabled in (False, True):
                done = subprocess.run(
                    [python, __file__, "--one", str(int(enabled))],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                into = seen.setdefault((python, enabled), {})
                for name, values in json.loads(done.stdout).items():
                    into.setdefault(name, []).extend(values)
    print(describe(), f"steal {stolen.share():.1%}", sep="\n")
    for (python, enabled), values in seen.items():
        print(names[python] if enabled else f"{names[python]}, gil.enabled false")
        for name, shares in values.items():
            if enabled or name.startswith("cpu"):
                low, middle, high = min(shares), statistics.median(shares), max(shares)
                print(f"  {name:10} {middle:8.2%}  ({low:.2%} to {high:.2%})")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(one(sys.argv[2] == "1")))
    else:
        main()
