#!/usr/bin/env bash
# ddsketch 3.0.1: with weights below 1 its quantiles are wrong, and may be negative where no value is.
#
# add(value, weight) takes any weight above 0, as of seconds that a state lasted. Only how the weights
# stand to each other should matter. But the rank that is looked up is quantile * (sum of weights - 1),
# where the 1 is a value, if all weigh 1. Of 1, 2, ..., 20 with a weight of 0.1 each, the sum is 2: the
# 99th percentile is 10, the 100th 11. If the sum is below 1, the rank is negative and is looked up among
# the negative values, of which there are none: of 5 and 10 the median is -0.99. The guarantee is 1 % of the value.
# Weights that are multiplied first so that the least is 1 or more are a way round.
#
# Guessed before: the same quantiles for the same values, whatever all of them weigh.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q ddsketch==3.0.1 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
from ddsketch import DDSketch


def quantiles(values, weight):
    sketch = DDSketch(0.01)
    for value in values:
        sketch.add(value, weight)
    return [round(sketch.get_quantile_value(q), 2) for q in (0.5, 0.99, 1)]


seen = {weight: quantiles(range(1, 21), weight) for weight in (10, 1, 0.1)}
for weight, of in seen.items():
    print(f"1 to 20, each with weight {weight}: {of}")
few = quantiles([5, 10], 0.25)
print(f"5 and 10, each with weight 0.25: {few}")
assert all(of[0] > 9 and of[2] > 19 for of in (seen[10], seen[1])), seen
assert seen[0.1][1] < 12 and seen[0.1][2] < 12, seen
assert few[0] < 0, few
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1:
# 1 to 20, each with weight 10: [10.07, 19.89, 19.89]
# 1 to 20, each with weight 1: [10.07, 19.11, 19.89]
# 1 to 20, each with weight 0.1: [5.99, 10.07, 10.91]
# 5 and 10, each with weight 0.25: [-0.99, -0.99, -0.99]
