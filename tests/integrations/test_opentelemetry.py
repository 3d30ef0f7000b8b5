"""The metrics for OpenTelemetry, as the SDK and a receiver of OTLP get them."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from needs import needs_gil
from waiting import wait_until

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)

from gilknocker import KnockKnock, Snapshot
from gilknocker.integrations import opentelemetry as ours
from gilknocker.integrations.always_on import BUCKETS_SECONDS
from gilknocker.testing import GilLoad, hold_gil

NAMES = {"gilknocker.gil.time", "gilknocker.gil.utilization", "gilknocker.gil.wait.duration"}


@contextmanager
def metered(provider: MeterProvider, **arguments: Any) -> Iterator[None]:
    ours.instrument(provider, **arguments)
    try:
        yield
    finally:
        ours.uninstrument()


def collected(reader: InMemoryMetricReader) -> dict[str, Any]:
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        metric.name: metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


@pytest.fixture
def provider() -> Iterator[tuple[MeterProvider, InMemoryMetricReader]]:
    reader = InMemoryMetricReader()
    one = MeterProvider([reader])
    yield one, reader
    one.shutdown()


def times(metrics: dict[str, Any]) -> dict[str, float]:
    points = metrics["gilknocker.gil.time"].data.data_points
    return {point.attributes["gilknocker.gil.state"]: point.value for point in points}


def waits(metrics: dict[str, Any]) -> int:
    histogram = metrics.get("gilknocker.gil.wait.duration")  # there is none before the first
    return sum(point.count for point in histogram.data.data_points) if histogram else 0


def test_the_sdk_gets_what_the_knocker_has(provider: Any) -> None:
    provider, reader = provider
    with KnockKnock(500) as knocker:
        with metered(provider, knocker=knocker, period_seconds=0.02):
            with GilLoad(0.002, 0.002):
                time.sleep(0.3)
                wait_until(lambda: knocker.snapshot().knocks)
            knocker.stop()
            wait_until(lambda: waits(collected(reader)) == knocker.snapshot().knocks)
            metrics = collected(reader)  # of no more time: the gauge is as before
        snapshot = knocker.snapshot()
    assert set(metrics) == NAMES
    seen = times(metrics)
    # A sampled share that fell back by some looks is not taken back by the counter.
    assert -1e-9 <= seen["held"] - snapshot.held_seconds < 0.05
    assert -1e-6 <= seen["held"] + seen["free"] - snapshot.observed_seconds < 0.1
    (gauge,) = metrics["gilknocker.gil.utilization"].data.data_points
    assert gauge.value == pytest.approx(snapshot.held_fraction, abs=0.1)
    (histogram,) = metrics["gilknocker.gil.wait.duration"].data.data_points
    assert histogram.count == snapshot.knocks > 0
    assert histogram.sum == pytest.approx(snapshot.wait_total_ns / 1e9, rel=0.01)
    assert tuple(histogram.explicit_bounds) == BUCKETS_SECONDS
    units = {name: metric.unit for name, metric in metrics.items()}
    assert [units[name] for name in sorted(NAMES)] == ["s", "1", "s"]


def test_uninstrument_leaves_nothing(provider: Any, caplog: pytest.LogCaptureFixture) -> None:
    provider, reader = provider
    for _ in range(3):
        with metered(provider):
            assert times(collected(reader))
            assert any(thread.name == "GilMetrics" for thread in threading.enumerate())
        assert "gilknocker.gil.time" not in collected(reader)
        assert "gilknocker.gil.utilization" not in collected(reader)
        assert not any(thread.name == "GilMetrics" for thread in threading.enumerate())
    ours.uninstrument()
    assert caplog.records == []  # the SDK complains of instruments made twice


def test_the_gauge_is_of_the_time_since_the_last_collection(provider: Any) -> None:
    provider, reader = provider

    def collect() -> tuple[Snapshot, float, Snapshot]:
        before = knocker.snapshot()
        points = collected(reader)["gilknocker.gil.utilization"].data.data_points
        return before, points[0].value, knocker.snapshot()

    with KnockKnock(200) as knocker, metered(provider, knocker=knocker):
        wait_until(lambda: knocker.snapshot().observed_seconds > 0.1)
        collections = [collect()]
        hold_gil(0.3)
        collections.append(collect())
        time.sleep(0.3)
        collections.append(collect())
    # Each looked between two snapshots: these bound it, however long the machine took over it.
    for (a, _, b), (c, share, d) in pairwise(collections):
        inner, outer = c - b, d - a
        assert inner.held_seconds / outer.observed_seconds - 1e-6 <= share
        assert share <= outer.held_seconds / inner.observed_seconds + 1e-6


@needs_gil
def test_no_counter_ever_decreases(provider: Any) -> None:
    provider, reader = provider
    with KnockKnock(method="look") as knocker, metered(provider, knocker=knocker):
        seen = [times(collected(reader))]
        for do in (time.sleep, hold_gil) * 2:
            for _ in range(20):
                do(0.02)
                seen.append(times(collected(reader)))
    for state in ("held", "free"):
        values = [one[state] for one in seen]
        assert values == sorted(values), state


@needs_gil
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_the_counter_goes_on_in_a_forked_child() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "done\n", done.stderr


FORKED = """
import os, time, warnings
from gilknocker.integrations.opentelemetry import _Metering
from gilknocker.testing import hold_gil

warnings.simplefilter("ignore")  # that there is a thread: the knocker's
metering = _Metering(None)
time.sleep(1.0)
told = metering.times()
metering.utilization()
assert told[1] > 0.7, told
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
    print("done")
else:
    begun = metering.times()  # starts the knocker
    hold_gil(0.3)
    held, free = metering.times()
    assert told[0] <= begun[0] < held, (told, begun, held)
    assert told[1] <= begun[1] <= free < told[1] + 0.5, (told, begun, free)
    assert metering.utilization() > 0.3
    os._exit(0)
metering._source.close()
"""


def test_the_counter_goes_on_when_the_same_provider_is_instrumented_again() -> None:
    reader = InMemoryMetricReader({ObservableCounter: AggregationTemporality.DELTA})
    provider = MeterProvider([reader])
    with KnockKnock() as knocker:
        deltas = []
        for own in (None, None, knocker, knocker, None):
            with metered(provider, knocker=own):
                for _ in range(2):
                    time.sleep(0.1)
                    deltas.append(times(collected(reader)))
        measured = knocker.snapshot().observed_seconds
    provider.shutdown()
    assert all(value >= 0 for delta in deltas for value in delta.values()), deltas
    # Nothing is told twice of a meter that was there before: all of this took as long as it runs.
    assert 0 < sum(sum(delta.values()) for delta in deltas) <= measured + 0.1


GLOBAL = """
import time
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from gilknocker.integrations.opentelemetry import instrument, uninstrument

instrument()  # of what stands for a provider until there is one
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
for again in range(2):
    time.sleep(0.1)
    (resource,) = reader.get_metrics_data().resource_metrics
    (scope,) = resource.scope_metrics
    print(sorted(metric.name for metric in scope.metrics if metric.name.endswith("time")))
    uninstrument()
    if not again:
        instrument()
"""


def test_a_provider_that_becomes_the_global_one_can_be_instrumented_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", GLOBAL], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["['gilknocker.gil.time']"] * 2, done.stderr
    assert done.stderr == ""  # the SDK complains of instruments made twice


def test_several_readers_are_told_of_the_same_window() -> None:
    readers = [InMemoryMetricReader() for _ in range(3)]
    provider = MeterProvider(readers)

    def gauge(reader: InMemoryMetricReader) -> float:
        points = collected(reader)["gilknocker.gil.utilization"].data.data_points
        return points[0].value

    def told() -> tuple[list[float], float]:
        begun = time.monotonic()
        seen = []
        for reader in readers:
            seen.append(gauge(reader))
            hold_gil(0.005)  # as all that is done between two of them
        return seen, time.monotonic() - begun

    with KnockKnock(200) as knocker, metered(provider, knocker=knocker):
        for _ in range(50):
            gauge(readers[0])
            time.sleep(0.3)
            seen, seconds = told()
            if seconds < 0.1:  # else the machine was slow, and a window has passed
                break
        else:
            pytest.skip("the machine was too slow")
    provider.shutdown()
    assert seen == [seen[0]] * len(seen)
    assert seen[0] < 0.5


def test_only_once_at_a_time(provider: Any) -> None:
    provider, reader = provider
    with (
        metered(provider),
        pytest.raises(RuntimeError, match="instrumented already: uninstrument"),
    ):
        ours.instrument(provider)
    for arguments, error in (
        ({"knocker": 5}, TypeError),
        ({"period_seconds": 0}, ValueError),
        ({"meter_provider": "no"}, TypeError),
    ):
        with pytest.raises(error, match=next(iter(arguments))):
            ours.instrument(**{"meter_provider": provider, **arguments})
    with metered(provider):  # nothing was left of those
        assert times(collected(reader))


# ---- a receiver of OTLP ------------------------------------------------------------------------


class Received:
    """The names of the metrics that came, and the last held and free seconds."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.states: dict[str, float] = {}
        self.waits = 0
        self.complete = threading.Event()

    def take(self, request: Any) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    self.names.add(metric.name)
                    for point in metric.sum.data_points:
                        (attribute,) = point.attributes
                        self.states[attribute.value.string_value] = point.as_double
                    for point in metric.histogram.data_points:
                        self.waits = point.count
        if self.names >= NAMES and self.waits:
            self.complete.set()


@contextmanager
def grpc_receiver(received: Received) -> Iterator[Any]:
    grpc = pytest.importorskip("grpc")
    pytest.importorskip("opentelemetry.exporter.otlp.proto.grpc")
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb2
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as service

    class Servicer(service.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            received.take(request)
            return pb2.ExportMetricsServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    service.add_MetricsServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield OTLPMetricExporter(endpoint=f"http://127.0.0.1:{port}", insecure=True, timeout=5)
    finally:
        server.stop(0).wait(10)


@contextmanager
def http_receiver(received: Received) -> Iterator[Any]:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as pb2

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/metrics"
            request = pb2.ExportMetricsServiceRequest()
            request.ParseFromString(body)
            received.take(request)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}/v1/metrics"
        yield OTLPMetricExporter(endpoint=url, timeout=5, compression=None)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("receiver", [grpc_receiver, http_receiver])
def test_a_receiver_of_otlp_gets_them(receiver: Any) -> None:
    received = Received()
    with receiver(received) as exporter:
        provider = MeterProvider([PeriodicExportingMetricReader(exporter, 100)])
        with metered(provider, period_seconds=0.05), GilLoad(0.005, 0.005, sleep=True):
            assert received.complete.wait(30)
        provider.shutdown()
    assert received.names == NAMES
    assert received.states.keys() == {"held", "free"}
    assert all(value >= 0 for value in received.states.values())


MISSING = """
import sys
sys.modules["opentelemetry.sdk"] = None
try:
    import gilknocker.integrations.opentelemetry
except ImportError as error:
    print(error)
"""


def test_without_the_sdk_the_error_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=60
    )
    assert "pip install 'gilknocker[opentelemetry]'" in done.stdout
