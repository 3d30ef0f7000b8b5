#!/usr/bin/env bash
# streamhist 0.1.0: a histogram that was sent to another process has a count of 0.
#
# to_dict() and from_dict() are there to "facilitate communicating StreamHist objects across processes or
# networks". The bins go and come back. The total, the least and the greatest are not in the dictionary, and
# are not made from the bins: count() is 0, mean(), min() and max() are None, quantiles() fails. It is worse
# if the parent merges it into its own, for which it is made: nothing fails, the bins are of both and the
# total is of one. Of 1 to 100 here and 101 to 200 there, the median is 51, and the greatest 100. It
# cannot be pickled; setting total, _min and _max by hand is a way round.
#
# One would expect: what comes back answers as what was sent: 200 values, median about 100.5, greatest 200.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env
env/bin/pip install -q streamhist==0.1.0 sortedcontainers==2.4.0 2>pip.log || { cat pip.log; exit 2; }
env/bin/python - <<'PYTHON'
import json

from streamhist import StreamHist

here, there = StreamHist(maxbins=64), StreamHist(maxbins=64)
here.update(range(1, 101))
there.update(range(101, 201))
received = StreamHist.from_dict(json.loads(json.dumps(there.to_dict())))
print("sent:      ", there.count(), there.mean(), there.max())
print("received:  ", received.count(), received.mean(), received.max())
both, direct = here + received, here + there
print("both, count, median, max:", both.count(), round(both.quantiles(0.5)[0], 1), both.max())
print("without the way there:   ", direct.count(), round(direct.quantiles(0.5)[0], 1), direct.max())
assert received.count() == 0 and both.count() == 100 and both.quantiles(0.5)[0] < 60, "not as it was"
PYTHON
# Seen on 2026-11-30, Python 3.11.2 and 3.12.1:
# sent:       100 150.5 200
# received:   0 None None
# both, count, median, max: 100 51.0 100.0
# without the way there:    200 101.0 200
