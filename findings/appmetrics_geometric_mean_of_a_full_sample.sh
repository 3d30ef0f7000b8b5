#!/usr/bin/env bash
# appmetrics 0.5.0: of 200 calls of 10 ms each, the geometric mean is 0.0 s.
#
# get() of a histogram has it beside the arithmetic and the harmonic one. It is taken as it is defined: all
# values are multiplied, and then comes the root (statistics.py, geometric_mean). A sample has room for 1,028
# by default, and with_histogram() fills it with seconds. A product of 162 times 0.01 is less than a float
# can be, and is 0; a product of 309 times 10 is more, and is inf (which is no JSON). So it is right in
# tests and in the first minutes of a service, and then it is 0.0 for good. folsom (its bear), of which this
# is a port, adds logarithms, as the statistics module of Python does.
#
# One would expect: 0.01, and 10, however many there are.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q appmetrics==0.5.0 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import statistics

from appmetrics import metrics

seen = []
for value, count in ((0.01, 100), (0.01, 200), (10.0, 300), (10.0, 400)):
    histogram = metrics.new_histogram(f"{count} times {value}")
    for _ in range(count):
        histogram.notify(value)
    got = histogram.get()
    seen.append(got["geometric_mean"])
    print(f"{count} times {value}: geometric {seen[-1]:.3g}, harmonic {got['harmonic_mean']:.3g},",
          f"arithmetic {got['arithmetic_mean']:.3g}; geometric of the statistics module",
          f"{statistics.geometric_mean([value] * count):.3g}")
assert seen[1] == 0 and seen[3] == float("inf"), "not as it was"
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1:
# 100 times 0.01: geometric 0.01, harmonic 0.01, arithmetic 0.01; geometric of the statistics module 0.01
# 200 times 0.01: geometric 0, harmonic 0.01, arithmetic 0.01; geometric of the statistics module 0.01
# 300 times 10.0: geometric 10, harmonic 10, arithmetic 10; geometric of the statistics module 10
# 400 times 10.0: geometric inf, harmonic 10, arithmetic 10; geometric of the statistics module 10
