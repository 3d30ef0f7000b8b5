#!/usr/bin/env bash
# aioprometheus 23.12.0 (with quantile-python 1.1): the 99th percentile of 1, 2, ..., 100 is 51.
#
# Its Summary has quantiles with errors that are allowed: 0.5 with 0.05, 0.9 with 0.01, 0.99 with 0.001.
# Of a hundred values, in whatever order, they are 27, 45 and 51. Values are sorted before they go into the
# list of the estimator, so each is the greatest so far, and such a one is entered twice: as the new end of
# the list, and then as any other is. The count and the sum are right, so nothing looks amiss in what is
# scraped, and yet the slower half of the requests is in no quantile. quantile-estimator, which has the same
# algorithm, is right; so is a Histogram of the same library.
#
# Guessed before: 50, 90 and 99, give or take what is promised.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q aioprometheus==23.12.0 quantile-python==1.1 quantile-estimator==0.1.3 2>pip.log ||
  { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import random

from aioprometheus import Summary
from quantile_estimator import Estimator

up = list(range(1, 101))
orders = {"up": up, "down": up[::-1], "shuffled": random.Random(1).sample(up, 100)}
for name, values in orders.items():
    summary, other = Summary(name, "waits"), Estimator()
    for value in values:
        summary.observe({}, value)
        other.observe(value)
    told = summary.get({})
    print(f"{name:8} Summary", [told[q] for q in (0.5, 0.9, 0.99)], "of", told["count"], "values, sum", told["sum"])
    print(f"{name:8} quantile-estimator", [other.query(q) for q in (0.5, 0.9, 0.99)])
    assert told["count"] == 100 and told["sum"] == 5050 and told[0.99] < 60, told
    assert other.query(0.99) > 95, "the other is no better"
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1 (three times, the same for each order):
# up       Summary [27.0, 45.0, 51.0] of 100 values, sum 5050.0
# up       quantile-estimator [52, 91, 100]
