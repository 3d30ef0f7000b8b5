"""The page of a real scheduler's dashboard, and that what it uses of Dask's own is there."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from dask_programs import run_file

pytest.importorskip("distributed")
pytest.importorskip("bokeh")

PAGE = ["gilknocker.integrations.dask.dashboard"]


def test_the_scheduler_shows_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    run_file(
        tmp_path_factory,
        """
import urllib.request

def get(path):
    port = cluster.scheduler.http_server.port
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
        return answer.read().decode()

assert "Dask: GilByWorker" in get("/individual-gil")
# What JupyterLab's extension lists.
assert json.loads(get("/individual-plots.json"))["Individual Gil"] == "/individual-gil"
json.loads(get("/json/identity.json"))
until(lambda: len(told(client)) == 2)

def show(dask_scheduler):
    from gilknocker.integrations.dask.dashboard import GilByWorker
    page = dask_scheduler.__dict__.setdefault("_page_of_the_test", GilByWorker(dask_scheduler))
    page.update()
    return dict(page.source.data), page.root.title.text

client.run_on_scheduler(show)
busy, idle = client.scheduler_info()["workers"]
work = [client.submit(hold, 1, workers=[busy], pure=False) for _ in range(60)]  # until it is seen
def seen():
    data, _ = client.run_on_scheduler(show)
    return data["worker"][:1] == [busy] and data["held"][0] > 0.5
until(seen)
client.cancel(work)
""",
        settings={
            "distributed.worker.preload": ["gilknocker.integrations.dask"],
            "distributed.scheduler.preload": PAGE,
        },
        dashboard="127.0.0.1:0",
    )


def beat(number: str, held: float, observed: float) -> Any:
    told = {"id": number, "held_seconds": held, "observed_seconds": observed, "wait_p99_ns": 5000}
    return SimpleNamespace(metrics={"gil": told})


def test_it_shows_the_time_between_two_heartbeats() -> None:
    from gilknocker.integrations.dask.dashboard import GilByWorker

    scheduler = SimpleNamespace(workers={"a": beat("1", 5, 10), "b": beat("2", 0, 10)})
    scheduler.workers["c"] = SimpleNamespace(metrics={})  # it does not tell
    page = GilByWorker(scheduler)
    page.update()
    assert page.source.data["worker"] == []
    assert "none of 3 workers has told" in page.root.title.text
    scheduler.workers |= {"a": beat("1", 5.1, 11), "b": beat("2", 0.9, 11)}
    page.update()
    expected = {"worker": ["b", "a"], "held": [pytest.approx(0.9), pytest.approx(0.1)]}
    assert {name: page.source.data[name] for name in expected} == expected
    assert page.source.data["wait"] == ["5.0 µs since its start"] * 2
    assert page.root.title.text == "GIL held, of 2 workers: least 10.0%, median 50.0%, most 90.0%"
    page.update()  # nothing new: as before
    assert {name: page.source.data[name] for name in expected} == expected
    scheduler.workers |= {"a": beat("3", 0.1, 0.2)}  # another one, at the same address
    page.update()
    assert page.source.data["worker"] == ["b"]
    del scheduler.workers["b"]
    page.update()
    assert page.source.data["worker"] == []


MISSING = """
import sys
sys.modules["bokeh"] = None
try:
    import gilknocker.integrations.dask.dashboard
except ImportError as error:
    print(error)
"""


def test_without_bokeh_the_error_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=60
    )
    assert "pip install 'gilknocker[dask-dashboard]'" in done.stdout
