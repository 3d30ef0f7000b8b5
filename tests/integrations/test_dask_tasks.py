"""Real tasks of a real cluster: how long they waited for the GIL is told apart."""

from __future__ import annotations

import subprocess
import sys

import pytest
from dask_programs import run_file
from needs import needs_tracer

pytest.importorskip("distributed")
pytestmark = needs_tracer

WORK = """
import contextlib

@contextlib.contextmanager
def by_tracer():
    from distributed import get_worker
    tracer = getattr(get_worker(), "own_tracer", None)
    before = tracer and tracer.this_thread()[1]
    yield
    if tracer:
        get_worker().waits_in_tasks.append(tracer.this_thread()[1] - before)

def tokenise(number):
    import io, tokenize
    text = "def f(a, b):\\n    return a + b * 17\\n" * 4000
    with by_tracer():
        return len(list(tokenize.generate_tokens(io.StringIO(text).readline)))

def hashed(number):
    import hashlib
    digest = hashlib.sha256()
    with by_tracer():
        for _ in range(20):
            digest.update(bytes(8_000_000))
    return digest.hexdigest()

def trace(dask_worker):
    from gilknocker import GilTracer
    dask_worker.waits_in_tasks = []
    dask_worker.own_tracer = GilTracer(0)
    dask_worker.own_tracer.start()

def traced(dask_worker):
    dask_worker.own_tracer.stop()
    threads = dask_worker.own_tracer.threads()
    whole = sum(one.waited_ns for one in threads if "Dask-Default-Threads" in one.name)
    return sum(dask_worker.waits_in_tasks) / 1e9, whole / 1e9

def told_of(client, task):
    def sums(dask_scheduler):
        items = dask_scheduler.cumulative_worker_metrics.items()
        return {key: value for key, value in items if isinstance(key, tuple) and len(key) >= 4}
    found = {}
    for (kind, *_, prefix, label, unit), value in client.run_on_scheduler(sums).items():
        if kind == "execute" and prefix == task and unit == "seconds":
            found[label] = found.get(label, 0.0) + value
    return found

def replaced():
    import distributed.worker
    return hasattr(distributed.worker._run_task_simple, "__wrapped__")

def settled(client, names):
    seen = [None, {}]
    def same():
        time.sleep(1.2)  # longer than a heartbeat takes
        seen[:] = [seen[1], {name: told_of(client, name) for name in names}]
        return seen[0] == seen[1]
    until(same)
    return seen[1]
"""


def test_tokenising_beside_hashing(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = run_file(
        tmp_path_factory,
        """
gil = watch(client, tasks=True)
client.run(trace)
work = client.map(tokenise, range(12), pure=False) + client.map(hashed, range(8), pure=False)
client.gather(work)
work, threads = map(sum, zip(*client.run(traced).values()))
told = settled(client, ("tokenise", "hashed"))
waited = sum(one.get("gil-wait", 0.0) for one in told.values())
print(json.dumps({"waited": waited, "tracer": {"work": work, "threads": threads}, **told}))
# What its thread waited between tasks is not a task's.
assert abs(waited - work) <= 0.05 * work, (work, waited, threads, told)
assert waited <= 1.05 * threads, (work, waited, threads, told)
# Whoever is beside a thread in pure Python waits for it, and that is most of what is no CPU time.
assert told["tokenise"]["gil-wait"] > 0.2 * told["tokenise"]["thread-cpu"], told
assert all(value >= 0 for one in told.values() for value in one.values()), told
""",
        before=WORK,
        threads_per_worker=3,
    )
    print(out)


def test_a_split_sums_up_to_what_dask_tells_without(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_file(
        tmp_path_factory,
        """
gil = watch(client, tasks=True)
begun = time.monotonic()
client.gather(client.map(tokenise, range(6), pure=False))
wall = (time.monotonic() - begun) * 6
told = settled(client, ("tokenise",))["tokenise"]
assert sum(told.values()) <= wall, (told, wall)
assert all(client.run(replaced).values())
gil.close()
assert not any(client.run(replaced).values())
before = settled(client, ("tokenise",))["tokenise"]["gil-wait"]
client.gather(client.map(tokenise, range(6), pure=False))
after = settled(client, ("tokenise",))["tokenise"]["gil-wait"]
assert before == after, (before, after)

def fail(number):
    time.sleep(0.05)
    raise KeyError(number)

gil = watch(client, tasks=True)
for one in client.map(fail, range(3), pure=False):
    try:
        one.result()
    except KeyError:
        pass
    else:
        raise AssertionError("no error")
""",
        before=WORK,
        threads_per_worker=3,
    )


UNKNOWN = """
import distributed.worker
for name in ("_run_task_simple", "apply_function_simple"):
    if hasattr(distributed.worker, name):
        delattr(distributed.worker, name)
from gilknocker.integrations.dask.tasks import TASKS
try:
    TASKS.begin("test")
except RuntimeError as error:
    print(error)
TASKS.end("test")
"""


def test_a_dask_that_runs_tasks_otherwise_is_told_apart() -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNKNOWN], capture_output=True, text=True, timeout=60
    )
    assert "has none of _run_task_simple, apply_function_simple" in done.stdout, done.stderr
