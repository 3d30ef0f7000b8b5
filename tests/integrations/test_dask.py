"""The GILs of a real cluster of processes, on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from dask_programs import run_file

pytest.importorskip("distributed")


def test_one_busy_worker_is_not_hidden(tmp_path_factory: pytest.TempPathFactory) -> None:
    out = run_file(
        tmp_path_factory,
        """
gil = watch(client)
busy, idle = client.scheduler_info()["workers"]
with gil.measure() as window:
    client.submit(hold, 2, workers=[busy], pure=False).result()
seen = window.by_worker()
# No bound on the idle one: on a busy machine its threads hold the GIL while they have no CPU.
assert seen[idle].held_fraction < seen[busy].held_fraction, str(seen)
assert seen[idle].wait_max_ns < 1_000_000_000 < seen[busy].wait_max_ns, str(seen)
assert seen[idle].held_fraction < window.snapshot().held_fraction < seen[busy].held_fraction
# The monitor resets its knocker twice a second: nothing is lost by it.
assert seen[busy].held_seconds > 1.8, seen[busy]
whole = gil.by_worker()[busy]
assert whole.held_seconds >= seen[busy].held_seconds * 0.99
assert gil.snapshot().knocks >= whole.knocks > 0
print(seen)
""",
    )
    print(out)
    lines = out.splitlines()
    assert len(lines) == 6
    assert [line.split()[0] for line in lines[3:]] == ["least", "median", "most"]


def test_it_uses_the_monitors_knocker_and_tells_the_scheduler(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_file(
        tmp_path_factory,
        """
gil = watch(client)
again = watch(client)  # no knocker of its own

two_threads_each(client)
until(lambda: len(told(client)) == 2)
assert all(one["observed_seconds"] > 0 for one in told(client))
assert len({one["id"] for one in told(client)}) == 2
gil.close()
gil.close()  # nothing more
again.close()
assert gil.by_worker() == {}
""",
    )


def test_who_closes_one_watch_ends_no_other(tmp_path_factory: pytest.TempPathFactory) -> None:
    run_file(
        tmp_path_factory,
        """
def users(dask_worker):
    meter = dask_worker.extensions["gilknocker"]
    return len(meter._users), dask_worker.metrics.get("gil") is not None

gil, again = watch(client), watch(client)
assert set(client.run(users).values()) == {(2, True)}
gil.close()
assert set(client.run(users).values()) == {(1, True)}
assert len(again.by_worker()) == 2
until(lambda: again.totals().workers == 2)
client.restart()  # those that come later, too
assert set(client.run(users).values()) == {(1, True)}
again.close()
assert again.by_worker() == {}
assert set(client.run(users).values()) == {(0, False)}
""",
    )


def test_a_worker_that_dies_is_replaced_and_nothing_counts_twice(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_file(
        tmp_path_factory,
        """
gil = watch(client)
first, second = client.scheduler_info()["workers"]
client.submit(hold, 0.5, workers=[second], pure=False).result()
with gil.measure() as window:
    begun = time.monotonic()
    client.run(lambda: None)
    try:
        client.run(kill, workers=[first], on_error="ignore")
    except Exception:
        pass
    deadline = time.monotonic() + 40
    while len(now := client.scheduler_info()["workers"]) < 2 or first in now:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client.wait_for_workers(2)
    time.sleep(1)
    seconds = time.monotonic() - begun
seen = window.by_worker()
assert len(seen) == 2 and first not in seen
for one in seen.values():
    assert 0 < one.observed_seconds < seconds + 2, (one, seconds)
assert seen[second].held_seconds < gil.by_worker()[second].held_seconds
""",
    )


def test_closing_twice_is_silent(tmp_path_factory: pytest.TempPathFactory) -> None:
    run_file(
        tmp_path_factory,
        """
import logging
gil, again = watch(client), watch(client)
said = []
handler = logging.Handler(logging.ERROR)
handler.emit = lambda record: said.append(record.getMessage())
for name in ("distributed", "distributed.core", "distributed.scheduler", "distributed.worker"):
    logging.getLogger(name).addHandler(handler)
gil.close()
gil.close()
again.close()
assert said == [], said
assert gil.by_worker() == {}
""",
    )


def test_a_cluster_that_closes_hides_no_exception(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_file(
        tmp_path_factory,
        """
gil = watch(client)
try:
    with gil.measure() as measured:
        raise KeyError("mine")
except KeyError:
    assert len(measured.by_worker()) == 2
try:
    with gil.measure() as window:
        client.close()
        cluster.close()
        raise KeyError("mine")
except KeyError:
    pass
for ask in (gil.by_worker, gil.totals, gil.snapshot, window.by_worker, gil.measure().__enter__):
    try:
        ask()
    except RuntimeError as error:
        expected = "has not ended" if ask == window.by_worker else "the client is closed"
        assert expected in str(error), error
    else:
        raise AssertionError(ask)
gil.close()
gil.close()
""",
    )


def test_an_asynchronous_client_is_refused() -> None:
    from distributed import Client, LocalCluster

    from gilknocker.integrations.dask import watch

    async def refused() -> None:
        options: dict[str, Any] = {"n_workers": 0, "dashboard_address": None}
        async with (
            LocalCluster(processes=False, asynchronous=True, **options) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            with pytest.raises(TypeError, match=r"^client must be a synchronous Client"):
                watch(client)

    asyncio.run(refused())


def test_without_a_knocker_the_error_names_the_setting(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_file(
        tmp_path_factory,
        """
try:
    watch(client)
except RuntimeError as error:
    assert "distributed.admin.system-monitor.gil.enabled must be true" in str(error)
else:
    raise AssertionError("no error")
""",
        enabled=False,
    )


MISSING = """
import sys
sys.modules["distributed"] = None
try:
    import gilknocker.integrations.dask
except ImportError as error:
    print(error)
"""


def test_without_dask_the_error_names_the_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING], capture_output=True, text=True, timeout=60
    )
    assert "pip install 'gilknocker[dask]'" in done.stdout
