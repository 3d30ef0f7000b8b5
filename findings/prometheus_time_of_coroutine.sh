#!/usr/bin/env bash
# prometheus_client 0.26.0: Histogram.time() on an async function observes microseconds.
#
# As a decorator it takes the time of the call, which of an async function only makes the coroutine:
# nothing warns, and a request of 0.2 s is observed as 2 µs. Within, "with histogram.time():" is right.
#
# Guessed before: it observes the time until the coroutine is done, 0.2 s.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
python3 -m venv env; env/bin/pip install -q prometheus-client==0.26.0 2>/dev/null
env/bin/python -W error - <<'PYTHON'
import asyncio

from prometheus_client import CollectorRegistry, Histogram

registry = CollectorRegistry()
decorated = Histogram("decorated", "by the decorator", registry=registry)
within = Histogram("within", "by the context manager", registry=registry)

@decorated.time()
async def request():
    with within.time():
        await asyncio.sleep(0.2)

asyncio.run(request())
seen = {name: registry.get_sample_value(f"{name}_sum") for name in ("decorated", "within")}
print(seen)
assert seen["decorated"] < 0.01 and seen["within"] >= 0.2, "not as it was"
PYTHON
# Seen on 2026-11-28, Python 3.11.7:
# {'decorated': 1.39e-06, 'within': 0.2066}
