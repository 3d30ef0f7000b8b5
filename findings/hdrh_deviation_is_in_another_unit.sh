#!/usr/bin/env bash
# hdrhistogram 0.10.8 (hdrh): in one line of its table, the mean is in ms and the deviation in µs.
#
# output_percentile_distribution(file, ratio) divides what was recorded by a ratio, so that a histogram of
# microseconds can be read in milliseconds (1000.0). Values, Mean and Max are divided. StdDeviation is not
# (get_stddev() is written as it is, in hdrh/histogram.py), and stands next to the mean in the same
# brackets. The libraries in Java and C, whose format this is, divide both. With a ratio of 1 nothing is
# amiss, so tests that do not scale do not see it.
#
# Guessed before: of 1, 2 and 3 ms, a mean of 2 and a deviation of 0.817.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q hdrhistogram==0.10.8 2>/dev/null
env/bin/python - <<'PYTHON'
import io

from hdrh.histogram import HdrHistogram

histogram = HdrHistogram(1, 3_600_000_000, 3)  # of microseconds
for microseconds in (1000, 2000, 3000):
    histogram.record_value(microseconds)
table = io.BytesIO()
histogram.output_percentile_distribution(table, 1000.0)
lines = table.getvalue().decode().splitlines()
for line in lines[-5:]:
    print(line)
assert lines[-3].split() == ["#[Mean", "=", "2.000,", "StdDeviation", "=", "816.905]"], "not as it was"
PYTHON
# Seen on 2026-11-30, Python 3.11.7:
#        3.001 0.686189403910          3           3.19
#        3.001 1.000000000000          3
# #[Mean    =        2.000, StdDeviation   =      816.905]
# #[Max     =        3.001, TotalCount     =        3.000]
# #[Buckets =           22, SubBuckets     =         2048]
