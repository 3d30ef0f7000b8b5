#!/usr/bin/env bash
# opentelemetry-instrumentation-system-metrics 0.66b2: process.runtime.cpython.gc_count counts no collections.
#
# It is a monotonic sum, in bytes, described as "Runtime cpython GC count", with a value for each
# generation: what gc.get_count() returns. The first of them is how many container objects were made
# since the last collection. So it goes up while nothing is collected, and falls with each collection,
# which rate() of Prometheus takes for a restart. It is on by default. What its name says is in
# cpython.gc.collections.
#
# Guessed before: the number of collections since the process began.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q opentelemetry-sdk==1.45.2 opentelemetry-instrumentation-system-metrics==0.66b2 2>pip.log ||
  { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import gc

from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
SystemMetricsInstrumentor().instrument(meter_provider=provider)


def youngest():
    [of_resource] = reader.get_metrics_data().resource_metrics
    [metric] = [
        metric
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        if metric.name == "process.runtime.cpython.gc_count"
    ]
    [point] = [p for p in metric.data.data_points if p.attributes["count"] == "0"]
    return metric, point.value


gc.disable()
before = [of["collections"] for of in gc.get_stats()]
metric, first = youngest()
kept = [[] for _ in range(10_000)]
_, second = youngest()
collected = [of["collections"] for of in gc.get_stats()] != before
gc.collect()
_, third = youngest()
print("monotonic:", metric.data.is_monotonic, "unit:", metric.unit)
print("10,000 lists made: up by 10,000 or more:", second - first >= 10_000, "collections:", collected)
print("a collection: down:", third < first)
assert metric.data.is_monotonic and metric.unit == "By", "another instrument now"
assert second - first >= 10_000 and not collected and third < second, "another count now"
PYTHON
# Seen on 2026-11-29, Python 3.11.2 and 3.12.1:
# monotonic: True unit: By
# 10,000 lists made: up by 10,000 or more: True collections: False
# a collection: down: True
