"""The metrics for Prometheus, read back from prometheus_client's own text."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from needs import needs_tracer
from stories import packed
from waiting import wait_until

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gilknocker import GilTracer, KnockKnock, WaitHistogram
from gilknocker.integrations.always_on import BUCKETS_SECONDS, Turns
from gilknocker.integrations.prometheus import GilCollector, GilMetrics, _buckets, _stalls
from gilknocker.testing import GilLoad, hold_gil

FAMILIES = {
    "python_gil_held_seconds": "counter",
    "python_gil_observed_seconds": "counter",
    "python_gil_stalls": "counter",
    "python_gil_wait_seconds": "histogram",
}


def scraped(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    """Return the samples by name and by the label that tells them apart."""
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    return {
        (sample.name, sample.labels.get("source", "") + sample.labels.get("le", "")): sample.value
        for family in families
        for sample in family.samples
    }


def test_the_families() -> None:
    registry = CollectorRegistry()
    with GilCollector(registry=registry):
        families = list(text_string_to_metric_families(generate_latest(registry).decode()))
        assert {family.name: family.type for family in families} == FAMILIES
        buckets = [s for f in families for s in f.samples if s.name.endswith("_bucket")]
        bounds = [float(sample.labels["le"]) for sample in buckets]
        assert bounds == [*BUCKETS_SECONDS, math.inf]
        assert {sample.labels["source"] for sample in buckets} == {"knock"}
    assert generate_latest(registry) == b""


def test_it_tells_what_the_knocker_tells() -> None:
    registry = CollectorRegistry()
    with KnockKnock(200) as knocker, GilLoad(0.002, 0.002):
        time.sleep(0.3)
        wait_until(lambda: knocker.snapshot().knocks)
    snapshot = knocker.snapshot()
    with GilCollector(knocker, registry):
        seen = scraped(registry)
    assert seen["python_gil_held_seconds_total", ""] == pytest.approx(snapshot.held_seconds)
    assert seen["python_gil_observed_seconds_total", ""] == snapshot.observed_seconds
    assert seen["python_gil_wait_seconds_count", "knock"] == snapshot.knocks > 0
    assert seen["python_gil_wait_seconds_sum", "knock"] == snapshot.wait_total_ns / 1e9
    assert seen["python_gil_wait_seconds_bucket", "knock+Inf"] == snapshot.knocks
    assert not knocker.is_running  # its owner's business


def test_a_stall_is_counted() -> None:
    registry = CollectorRegistry()
    with (
        KnockKnock(1000, knock_interval_micros=1000) as knocker,
        GilCollector(knocker, registry, stall_seconds=0.05),
        GilCollector(knocker, other := CollectorRegistry(), stall_seconds=5),
    ):
        time.sleep(0.05)
        hold_gil(1)  # who knocks may have no CPU for half of it
        wait_until(lambda: scraped(registry)["python_gil_stalls_total", ""] >= 1)
        assert scraped(other)["python_gil_stalls_total", ""] == 0


@needs_tracer
def test_a_tracers_waits_stand_beside() -> None:
    registry = CollectorRegistry()
    with GilTracer(0) as tracer, GilCollector(None, registry, tracer=tracer):
        with GilLoad(0.001, 0.001, threads=3):
            time.sleep(0.2)
        before = tracer.snapshot().knocks
        seen = scraped(registry)
        after = tracer.snapshot().knocks
    assert before <= seen["python_gil_wait_seconds_count", "trace"] <= after
    assert before > 0


@given(st.lists(st.integers(0, 30 * 10**9), max_size=100))
def test_buckets_count_what_is_shorter(waits: list[int]) -> None:
    buckets = _buckets(WaitHistogram(packed(waits)))
    for (bound, count), seconds in zip(buckets, (*BUCKETS_SECONDS, math.inf), strict=True):
        assert float(bound) == seconds
        assert count == sum(wait < seconds * 1e9 for wait in waits)


def test_threads_that_scrape_at_once_see_no_counter_fall() -> None:
    registry = CollectorRegistry()
    failures: list[Any] = []
    with KnockKnock(polling_interval_micros=100) as knocker, GilCollector(knocker, registry):
        stop = threading.Event()

        def scrape() -> None:
            before: dict[Any, float] = {}
            while not stop.is_set():
                now = scraped(registry)
                failures.extend(name for name in before if now[name] < before[name])
                before = now

        def reset() -> None:
            while not stop.wait(0.005):
                knocker.reset_contention_metric()

        threads = [threading.Thread(target=work) for work in (scrape, scrape, scrape, reset)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_second_one_in_the_same_registry_is_refused() -> None:
    registry = CollectorRegistry()
    with GilCollector(registry=registry):
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            GilCollector(registry=registry)
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            GilMetrics(registry=registry)
        assert scraped(registry)


def test_closing_twice_is_closing() -> None:
    registry = CollectorRegistry()
    for kind in (GilCollector, GilMetrics):
        one = kind(registry=registry)
        one.close()
        one.close()
        assert generate_latest(registry) == b""


@pytest.mark.parametrize("kind", [GilCollector, GilMetrics])
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"knocker": 5}, TypeError, "knocker must be a KnockKnock or None, not 5"),
        ({"stall_seconds": 0}, ValueError, "stall_seconds must be a real number of seconds"),
        ({"stall_seconds": "1"}, TypeError, "stall_seconds must be a real number of seconds"),
    ],
)
def test_bad_arguments_are_named(
    kind: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    registry = CollectorRegistry()
    with pytest.raises(error, match=message):
        kind(registry=registry, **arguments)
    kind(registry=registry).close()  # nothing was left in the registry


@pytest.mark.parametrize("tracer", [5, KnockKnock(500)])
def test_a_tracer_is_a_tracer(tracer: Any) -> None:
    registry = CollectorRegistry()
    with pytest.raises(TypeError, match="tracer must be a GilTracer or None, not "):
        GilCollector(registry=registry, tracer=tracer)
    assert generate_latest(registry) == b""


@pytest.mark.parametrize("kind", [GilCollector, GilMetrics])
def test_a_registry_is_a_registry(kind: Any) -> None:
    with pytest.raises(TypeError, match="registry must be a CollectorRegistry or None, not 'x'"):
        kind(registry="x")


def test_without_a_registry_they_are_registered_nowhere() -> None:
    with GilCollector(registry=None) as collector:
        assert {family.name for family in collector.collect()} == set(FAMILIES)
    collector.close()
    metrics = GilMetrics(registry=None)
    metrics.update()
    metrics.close()
    metrics.close()


def test_what_somebody_else_has_unregistered_is_closed_too() -> None:
    registry = CollectorRegistry()
    collector = GilCollector(registry=registry)
    registry.unregister(collector)
    collector.close()
    assert not collector._meter._knocker.is_running
    metrics = GilMetrics(registry=registry)
    registry.unregister(metrics._held)
    metrics.close()
    assert not metrics._meter._knocker.is_running
    assert generate_latest(registry) == b""


@pytest.mark.parametrize("kind", [GilCollector, GilMetrics])
def test_the_knocker_ends_though_the_registry_fails(kind: Any) -> None:
    class Broken(CollectorRegistry):
        def unregister(self, collector: object) -> None:
            raise RuntimeError("broken")

    one = kind(registry=Broken())
    with pytest.raises(RuntimeError, match="broken"):
        one.close()
    assert not one._meter._knocker.is_running


def test_the_knocker_ends_though_the_last_turn_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = CollectorRegistry()
    metrics = GilMetrics(registry=registry, period_seconds=1000)
    monkeypatch.setattr(metrics._held, "inc", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        metrics.close()
    assert not metrics._meter._knocker.is_running
    assert generate_latest(registry) == b""
    metrics.close()


@given(st.lists(st.integers(190_000_000, 210_000_000)), st.integers(195_000_000, 205_000_000))
@example([200_000_000], 200_000_000)
@example([199_000_000], 200_000_000)
def test_no_stall_is_missed_and_none_is_much_shorter(waits: list[int], stall_ns: int) -> None:
    counted = _stalls(WaitHistogram(packed(waits)), stall_ns)
    assert sum(wait >= stall_ns for wait in waits) <= counted
    assert counted <= sum(wait > stall_ns * 63 / 64 for wait in waits)


def test_metrics_are_updated_in_turns() -> None:
    registry = CollectorRegistry()
    with KnockKnock(500) as knocker:
        metrics = GilMetrics(knocker, registry, period_seconds=0.02)
        with GilLoad(0.002, 0.002):
            time.sleep(0.3)
            wait_until(lambda: knocker.snapshot().knocks)
            wait_until(lambda: scraped(registry)["python_gil_observed_seconds_total", ""] > 0.05)
    metrics.update()
    seen, snapshot = scraped(registry), knocker.snapshot()
    metrics.close()
    # A sampled share that fell back by some looks is not taken back by the counter.
    fallen = seen["python_gil_held_seconds_total", ""] - snapshot.held_seconds
    assert -1e-9 <= fallen < 0.05
    assert seen["python_gil_observed_seconds_total", ""] == pytest.approx(snapshot.observed_seconds)
    assert seen["python_gil_wait_seconds_count", "knock"] == snapshot.knocks > 0
    assert seen["python_gil_wait_seconds_sum", "knock"] == pytest.approx(
        snapshot.wait_total_ns / 1e9, rel=0.01
    )
    buckets = {name: value for (name, _), value in seen.items() if name.endswith("_bucket")}
    assert buckets
    for bound, count in _buckets(snapshot.histogram):
        assert seen["python_gil_wait_seconds_bucket", f"knock{bound}"] == count


def test_a_turn_that_fails_is_told_of_and_the_next_one_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", told.append)
    calls: list[int] = []

    def call() -> None:
        calls.append(0)
        if len(calls) == 1:
            raise OSError("no space left")

    turns = Turns(call, 0.01, "turns")
    wait_until(lambda: len(calls) >= 2)
    assert turns.close()
    assert [one.exc_type for one in told] == [OSError]


WORKERS = """
import os, signal, sys, time
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from gilknocker.integrations.prometheus import GilMetrics
from gilknocker.testing import hold_gil

def scraped():
    registry = CollectorRegistry()
    MultiProcessCollector(registry)
    return {family.name: family.samples for family in registry.collect()}

def observed():
    return sum(one.value for one in scraped()["python_gil_observed_seconds"])

def worker(kill, before):
    child = os.fork()
    if not child:
        metrics = GilMetrics(registry=CollectorRegistry(), period_seconds=0.05)
        hold_gil(0.3)
        if kill:
            while observed() < before + 0.4:  # until it has been told of in its turns
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        metrics.close()
        os._exit(0)
    os.waitpid(child, 0)

totals = []
for kill in (False, True, False, True):
    worker(kill, sum(totals[-1:]))
    totals.append(observed())
    assert observed() == totals[-1]
print(*totals)
print(*(type(one.labels.get("pid")).__name__ for one in scraped()["python_gil_held_seconds"]))
"""


def test_workers_that_come_and_go_are_counted_once(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKERS],
        env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.splitlines()
    totals = [float(word) for word in first.split()]
    for before, after, least in zip([0.0, *totals], totals, (0.3, 0.4, 0.3, 0.4), strict=False):
        assert least - 0.02 < after - before < least + 1, totals
    assert second == "NoneType"  # one sum, not one a process


MISSING = """
import sys
sys.modules["prometheus_client"] = None
try:
    import gilknocker.integrations.prometheus
except ImportError as error:
    print(error)
"""


def test_without_prometheus_client_the_error_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=60
    )
    assert "pip install 'gilknocker[prometheus]'" in done.stdout
