#!/usr/bin/env bash
# In a Dask task, context_meter.digest_metric(label, seconds, "seconds") tells Fine Performance Metrics
# that part of the task was something of its own. For time that the thread rested, one would expect it
# to come out of "thread-noncpu", which is where rests are. It comes out of "thread-cpu": the meter of
# CPU time is the inner one of two, and each takes away all that was told within it, seconds of any
# kind. A task that computes for 0.5 s, rests for 0.3 s and tells of the rest has 0.2 s of CPU time,
# and its rest is counted twice: under its own name, and still in "thread-noncpu".
#
# Seen with distributed 2026.8.0 on Python 3.11. Exits 1 if that has changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check distributed==2026.8.0 dask==2026.8.0 \
  2>"$work/pip.log" || { cat "$work/pip.log"; exit 2; }
cat >"$work/program.py" <<'PYTHON'
import time

from distributed import Client, LocalCluster
from distributed.metrics import context_meter


def task():
    end = time.thread_time() + 0.5
    while time.thread_time() < end:
        pass
    begun = time.perf_counter()
    time.sleep(0.3)
    context_meter.digest_metric("rested", time.perf_counter() - begun, "seconds")


with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster:
    with Client(cluster) as client:
        client.submit(task).result()
        [worker] = cluster.workers.values()
        while not (told := {key[3]: value for key, value in worker.digests_total.items()
                            if key[0] == "execute"}):
            time.sleep(0.01)
print("computed for 0.5 s; thread-cpu:", round(told["thread-cpu"], 1))
print("rested:", round(told["rested"], 1))
print("thread-noncpu has the rest, too:", told["thread-noncpu"] >= told["rested"])
PYTHON
"$work/venv/bin/python" "$work/program.py" | tee "$work/output"
# Output seen:
diff "$work/output" - <<'SEEN'
computed for 0.5 s; thread-cpu: 0.2
rested: 0.3
thread-noncpu has the rest, too: True
SEEN
