"""What a real scheduler keeps of its workers' GILs, also of those that are gone."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dask_programs import run_file
from hypothesis import example, given
from hypothesis import strategies as st
from service import free_port
from stories import tell, waits_lists
from waiting import wait_until

from gilknocker import KnockKnock, _core

pytest.importorskip("distributed")

from gilknocker.integrations.dask.heartbeats import HeartbeatSum, heartbeat
from gilknocker.integrations.dask.scheduler import GilSchedulerPlugin
from gilknocker.integrations.dask.worker import GilWorkerPlugin, WorkerMeter

PRELOAD = ["gilknocker.integrations.dask"]


class Told:
    """Totals that a test makes up."""

    def __init__(self, waits: list[int]) -> None:
        self._total = tell(["held", "free"], waits)

    def snapshot(self) -> Any:
        return self._total

    def held_seconds(self, total: Any) -> float:
        return float(total.held_seconds)


@given(st.lists(waits_lists, max_size=4))
@example([[128, 137]])
@example([[143, 150]])
def test_heartbeats_add_up(workers: list[list[int]]) -> None:
    told = HeartbeatSum()
    for waits in workers:
        told.add(heartbeat("1", Told(waits)))  # type: ignore[arg-type]
    totals = told.totals(len(workers), 0)
    together = sorted(wait for waits in workers for wait in waits)
    assert totals.knocks == totals.histogram.total_count == len(together)
    assert totals.wait_max_ns == max(together, default=0)
    assert totals.held_seconds == pytest.approx(0.001 * len(workers))
    for p in (1, 50, 99):
        if together:
            exact = together[max(-(-p * len(together) // 100) - 1, 0)]
            assert abs(totals.percentile(p) - exact) <= max(exact / 16, 4)


@pytest.mark.skipif(_core.stack_problem() is not None, reason="no stacks here")
def test_a_workers_totals_go_on_when_its_knocker_is_replaced() -> None:
    monitor = SimpleNamespace(_gilknocker=KnockKnock(500))
    monitor._gilknocker.start()
    try:
        wait_until(lambda: monitor._gilknocker.snapshot().knocks >= 10)
        meter = WorkerMeter(monitor)
        plain, stacks = GilWorkerPlugin(), GilWorkerPlugin(stacks=True)
        told, numbers = [], []
        for step in (
            lambda: meter.begin(plain, False),
            lambda: meter.begin(stacks, True),
            lambda: wait_until(lambda: meter.read()[1].knocks >= 10),
            lambda: meter.end(stacks),
            lambda: meter.begin(stacks, True),
            lambda: meter.end(stacks),
        ):
            step()
            told.append(meter.told())
            numbers.append(meter.read()[0])
    finally:
        monitor._gilknocker.stop()
    assert len({one["id"] for one in told}) == 1 and len(set(numbers)) == 5
    for name in ("held_seconds", "observed_seconds", "knocks", "wait_max_ns"):
        values = [one[name] for one in told]
        assert values == sorted(values) and values[0] > 0, name
    for one in told:
        assert sum(int(word.partition(":")[2]) for word in one["waits"].split()) == one["knocks"]
    assert told[-1]["knocks"] >= 20


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "beat", "leave"]), st.integers(0, 2), st.integers(0, 2)),
    max_size=60,
)


@given(STEPS)
@example([("join", 0, 0), ("beat", 0, 0), ("leave", 0, 0)] * 2)
def test_each_meter_counts_once_whatever_its_address_and_how_often_it_comes(
    steps: list[tuple[str, int, int]],
) -> None:
    scheduler = SimpleNamespace(workers={})
    plugin = GilSchedulerPlugin()
    asyncio.run(plugin.start(scheduler))
    expected: dict[str, int] = {}  # what each meter told last, of those that were there at last
    knocks: dict[str, int] = {}
    for what, where, meter in steps:
        address, number = f"tcp://{where}", f"{meter}"
        if what == "join" and address not in scheduler.workers:
            if any(one.metrics.get("gil", {}).get("id") == number for one in workers(scheduler)):
                continue  # it is one process
            scheduler.workers[address] = SimpleNamespace(metrics={})
            plugin.add_worker(scheduler, address)
            scheduler.workers[address].meter = number
        elif what == "beat" and address in scheduler.workers:
            state = scheduler.workers[address]
            number = state.meter
            if any(one is not state and one.meter == number for one in workers(scheduler)):
                continue
            knocks[number] = expected[number] = knocks.get(number, 0) + 1
            beat = heartbeat(number, Told([1] * knocks[number]))  # type: ignore[arg-type]
            state.metrics = {"gil": beat}  # as heartbeat_worker does: all new
        elif what == "leave" and address in scheduler.workers:
            del scheduler.workers[address]
            plugin.remove_worker(scheduler, address, stimulus_id="test")
    totals = plugin.totals()
    assert totals.knocks == sum(expected.values())
    assert totals.workers + totals.lost == len(expected)


def workers(scheduler: Any) -> list[Any]:
    return list(scheduler.workers.values())


def test_many_lost_workers_are_kept_in_constant_memory() -> None:
    scheduler = SimpleNamespace(workers={})
    plugin = GilSchedulerPlugin()
    asyncio.run(plugin.start(scheduler))
    for number in range(1000):
        beat = heartbeat(str(number), Told([1_000, 2_000_000]))  # type: ignore[arg-type]
        scheduler.workers = {"tcp://1": SimpleNamespace(metrics={"gil": beat})}
        plugin.add_worker(scheduler, "tcp://1")
        plugin.remove_worker(scheduler, "tcp://1", stimulus_id="test")
    assert (plugin.totals().knocks, plugin.totals().lost) == (2000, 1000)
    assert len(plugin._lost) == 100


def test_a_worker_that_takes_its_time_to_close_tells_on(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    before = """
from asyncio import sleep
from distributed import WorkerPlugin
class Lingers(WorkerPlugin):
    async def teardown(self, worker):
        await sleep(2)  # heartbeats go on, each half a second
"""
    run_file(
        tmp_path_factory,
        """
gil = watch(client)
client.register_plugin(Lingers())
until(lambda: gil.totals().workers == 2)
known = gil.totals()
client.restart()
until(lambda: gil.totals().workers == 2 and gil.totals().lost == 2)
assert gil.totals().knocks >= known.knocks
""",
        before=before,
    )


def test_the_scheduler_keeps_what_a_killed_worker_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run_file(
        tmp_path_factory,
        """
gil = watch(client)
begun = time.monotonic()
first, second = client.scheduler_info()["workers"]
client.submit(hold, 1.5, workers=[first], pure=False).result()
# A knock waited for that; by its held time alone a slow start would be taken for it.
until(lambda: gil.totals().wait_max_ns > 1_000_000_000 and gil.totals().workers == 2)
before = gil.totals()
assert before.lost == 0 and before.held_seconds > 1.3, before
try:
    client.run(kill, workers=[first], on_error="ignore")
except Exception:
    pass
until(lambda: gil.totals().lost == 1 and gil.totals().workers == 2)
after = gil.totals()
# No less than before, though who did it is gone.
assert before.held_seconds <= after.held_seconds, (before, after)
assert after.knocks >= before.knocks and after.wait_max_ns >= before.wait_max_ns
assert after.histogram.total_count == after.knocks
assert after.observed_seconds < 2 * (time.monotonic() - begun) + 4, after  # one spans the start
client.restart()
until(lambda: gil.totals().lost == 3 and gil.totals().workers == 2)
last = gil.totals()
assert last.held_seconds >= after.held_seconds and last.knocks >= after.knocks, (after, last)
assert last.observed_seconds < 2 * (time.monotonic() - begun) + 4, last
# As GET /json/identity.json has it.
client.run_on_scheduler(lambda dask_scheduler: json.dumps(dask_scheduler.identity()) and None)
gil.close()
try:
    gil.totals()
except RuntimeError as error:
    assert "does not watch" in str(error)
else:
    raise AssertionError("no error")
""",
    )


def test_preloaded_by_the_configuration(tmp_path_factory: pytest.TempPathFactory) -> None:
    run_file(
        tmp_path_factory,
        """
until(lambda: len(told(client)) == 2)
numbers = {one["id"] for one in told(client)}
client.submit(hold, 1, pure=False).result()
gil = watch(client)
# The workers' meters are those that were there already.
assert {number for number, _ in gil._read().values()} == numbers
assert gil.snapshot().held_seconds > 0.9
two_threads_each(client)
until(lambda: gil.totals().held_seconds > 0.9)
gil.close()
assert len(gil.by_worker()) == 2 and gil.totals().workers == 2  # what was preloaded stays
""",
        settings={
            "distributed.worker.preload": PRELOAD,
            "distributed.scheduler.preload": PRELOAD,
        },
    )


@pytest.mark.skipif(_core.stack_problem() is not None, reason="no stacks here")
def test_stacks_of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> None:
    run_file(
        tmp_path_factory,
        """
plain = watch(client)
gil = watch(client, stacks=True)
assert plain.stacks() == () or plain.stacks()[0].thread  # it is one knocker, for both
with gil.measure() as window:
    client.gather(client.map(hold, [1, 1.01], pure=False))
first = window.stacks()[0]
assert first.frames[-2].function == "hold", window.stacks()[:3]
assert first.thread == "Dask-Default-Threads", first
# Of both workers.
alone = [one.held_seconds for one in window.by_worker().values()]
assert first.held_seconds > max(alone), (first, alone)
two_threads_each(client)
window.to_html(sys.argv[0] + ".html")
page = open(sys.argv[0] + ".html").read()
assert "testing.py:" in page and "The GIL that was held most" in page
html = gil._repr_html_()
assert "GIL held" in html and all(address in html for address in gil.by_worker())
assert window._repr_html_() == window.by_worker()._repr_html_()
assert str(window) == str(window.by_worker())
gil.close()
with plain.measure() as window:
    client.submit(hold, 0.5, pure=False).result()
assert window.stacks() == ()
assert window.snapshot().held_seconds > 0.4
two_threads_each(client)

def look(dask_worker):
    return dask_worker.monitor.recent()["gil_contention"]

assert all(0 <= one <= 1 for one in client.run(look).values())
""",
    )


@contextmanager
def command(log: Path, name: str, *arguments: str, **environ: str) -> Iterator[None]:
    """Run one of Dask's commands, with what it logs in a file."""
    words = [sys.executable, "-m", f"distributed.cli.dask_{name}", *arguments]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [*words, "--preload", *PRELOAD, "--no-dashboard"],
            cwd=log.parent,
            env=os.environ | environ,
            stderr=stderr,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def test_preloaded_by_the_command_line(tmp_path: Path) -> None:
    port = free_port()
    address, wrong = f"tcp://127.0.0.1:{port}", tmp_path / "wrong"
    worker = ("worker", address, "--nthreads", "1")
    with (
        command(tmp_path / "scheduler", "scheduler", "--host", "127.0.0.1", "--port", f"{port}"),
        command(wrong, *worker, DASK_GILKNOCKER__STACKS="yes"),
        command(tmp_path / "right", *worker),
    ):
        done = subprocess.run(
            [sys.executable, "-c", ASK, address], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr[-2000:]
    assert "Dask's setting gilknocker.stacks must be true or false, not 'yes'" in wrong.read_text()


ASK = """
import sys, time
from distributed import Client
from gilknocker.integrations.dask.scheduler import read_scheduler
with Client(sys.argv[1]) as client:
    client.wait_for_workers(2)
    deadline = time.monotonic() + 60
    while client.run_on_scheduler(read_scheduler).workers < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert client.run_on_scheduler(read_scheduler).observed_seconds > 0
"""
