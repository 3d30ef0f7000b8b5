#!/usr/bin/env bash
# datadog 0.56.0 (datadogpy): a thousand increments are sent as 10,000, or not at all.
#
# With a sample rate of 0.1 a client sends each tenth increment, marked "@0.1", and the server multiplies:
# of 1,000 about 1,000 arrive, give or take a hundred. If the client also sums what it has before it sends
# (disable_aggregation=False), no increment is left out. But the rate is kept, and the dice are thrown once,
# for the whole sum (_flush_aggregated_metrics passes it on to _report): nine flushes of ten are dropped,
# and the tenth counts tenfold. The mean over days is right; each point of the graph is wrong. Histograms,
# distributions, timings are not summed, and right. datadog-go drops the rate; so leave it at 1 here.
#
# One would expect: 1,000 from each flush, as sampling saves nothing there, or about 1,000.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q datadog==0.56.0 2>/dev/null
env/bin/python - <<'PYTHON'
import random
import socket

from datadog.dogstatsd.base import DogStatsd

random.seed(1)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
server.settimeout(1)
for summed in (False, True):
    client = DogStatsd(host="127.0.0.1", port=server.getsockname()[1], disable_telemetry=True,
                       flush_interval=3600, origin_detection_enabled=False, disable_aggregation=not summed)
    rounds = []
    for _ in range(20):
        for _ in range(1000):
            client.increment("jobs", sample_rate=0.1)
        client.flush_aggregated_metrics()
        client.gauge("end", 1, sample_rate=1)  # so that the end of a round is known
        client.flush_aggregated_metrics()
        counted = 0.0
        while not (line := server.recv(9000).decode().strip()).startswith("end"):
            number, _, rate = line.removeprefix("jobs:").split("|")
            counted += float(number) / float(rate.removeprefix("@"))
        rounds.append(round(counted))
    print("summed by the client:" if summed else "one by one:", sorted(rounds))
assert set(rounds) == {0, 10000}, "not as it was"  # those that were summed
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1:
# one by one: [830, 900, 910, 940, 950, 960, 960, 970, 980, 1000, 1010, 1050, ...
# summed by the client: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10000]
