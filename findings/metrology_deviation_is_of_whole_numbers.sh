#!/usr/bin/env bash
# metrology 1.3.0: the standard deviation of 1, 2, 1, 2, ... is 0, and that of 1, 2, ..., 100 is 57.
#
# A Histogram keeps a running mean and a running sum of squares, from which stddev and variance are
# made (update_variance). Both are kept in an array of C integers (AtomicLongArray), and lose what is
# behind the point at each step. A step of the mean is (value - mean) / count: as soon as the count is
# above the spread of the values, it is less than 1, and the mean stands still, wherever it is by then.
# So small values have no deviation, and others one around a number that is not the mean: a queue that
# began at 1 and grew to 100. What is shown as "mean" is another sum, and right. Timers have it too, in
# whole milliseconds. pyformance 0.4, whose Histogram is written the same way, has 0.5 and 29.
#
# One would expect: 0.5 and 29, as from the statistics module; whole numbers as input, but not within.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q metrology==1.3.0 astrolabe==0.4.0 atomic==0.7.3 cffi==2.1.1 \
  2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import statistics

from metrology import Metrology

seen = []
for name, values in (("1, 2, 1, 2, ...", [1, 2] * 50), ("1, 2, ..., 100", list(range(1, 101))),
                     ("100, 99, ..., 1", list(range(100, 0, -1)))):
    histogram = Metrology.histogram(name)
    for value in values:
        histogram.update(value)
    seen.append(round(histogram.stddev, 1))
    print(f"{name:16} mean {histogram.mean}, deviation {seen[-1]},",
          f"as it should be {statistics.stdev(values):.1f}")
assert seen[0] == 0 and seen[1] > 50, "not as it was"
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1:
# 1, 2, 1, 2, ...  mean 1.5, deviation 0.0, as it should be 0.5
# 1, 2, ..., 100   mean 50.5, deviation 57.2, as it should be 29.0
# 100, 99, ..., 1  mean 50.5, deviation 0.0, as it should be 29.0
