#!/usr/bin/env bash
# opentelemetry-instrumentation-system-metrics 0.66b2: a busy process has a CPU utilization of 0.
#
# Both process.cpu.utilization and its older name process.runtime.cpython.cpu.utilization are on by
# default, and both call cpu_percent() of one and the same psutil.Process, which tells about the time
# since it was last asked. The second in a collection asks a moment after the first. CPU time comes in
# steps of 10 ms, so it gets 0 nearly always, and else a whole step in less than a millisecond: 9 to 15
# on two CPUs, where 1 is all that there is. Who looks at the older name sees an idle process with spikes.
#
# Guessed before: the same value under both names.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q opentelemetry-sdk==1.45.2 opentelemetry-instrumentation-system-metrics==0.66b2 \
  psutil==7.2.2 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import time

from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
provider = MeterProvider([reader])
SystemMetricsInstrumentor().instrument(meter_provider=provider)


def utilization():
    [of_resource] = reader.get_metrics_data().resource_metrics
    return {
        metric.name: metric.data.data_points[0].value
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        if metric.name.startswith("process.") and metric.name.endswith("cpu.utilization")
    }


utilization()  # psutil's first answer is 0 by its own documentation
seen = []
for _ in range(40):
    started = time.process_time()
    while time.process_time() < started + 0.05:
        pass
    seen.append(utilization())
zeros = {name: sum(of[name] == 0 for of in seen) for name in seen[0]}
for name, count in zeros.items():
    print(f"{name}: 0 in {'most' if count > 20 else 'few'} of 40 collections of a busy process")
assert zeros["process.cpu.utilization"] < 20, zeros
assert zeros["process.runtime.cpython.cpu.utilization"] > 20, zeros
PYTHON
# Seen on 2026-11-29, Python 3.11.2 and 3.12.1 (none and 37 of 40, none and 39):
# process.cpu.utilization: 0 in few of 40 collections of a busy process
# process.runtime.cpython.cpu.utilization: 0 in most of 40 collections of a busy process
