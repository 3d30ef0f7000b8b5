"""LoopWatch: each cause of lateness alone is found to be the cause."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from needs import needs_tracer
from own_threads import all_without_a_cpu_ns, stolen_ns

from gilknocker import GilTracer
from gilknocker.integrations.asyncio import LoopWatch
from gilknocker.testing import GilLoad, hold_gil

pytestmark = needs_tracer

SECONDS = 60  # after which what should have ended is said not to have


def run_asyncio(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(main())


def run_uvloop(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    uvloop = pytest.importorskip("uvloop")
    return uvloop.run(main())


def run_uvloop_by_hand(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    uvloop = pytest.importorskip("uvloop")
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(main())  # as a server does, from a file of its own
    finally:
        loop.close()


loops = pytest.mark.parametrize(
    "run",
    [
        pytest.param(run_asyncio, id="asyncio"),
        pytest.param(run_uvloop, id="uvloop"),
        pytest.param(run_uvloop_by_hand, id="uvloop by hand"),
    ],
)


def watched(run: Any, act: Callable[[], Coroutine[Any, Any, None]]) -> LoopWatch:
    async def main() -> LoopWatch:
        begun = seconds_without_a_cpu()
        with LoopWatch(interval_seconds=0.02, threshold_seconds=0.01) as watch:
            await asyncio.sleep(0.05)
            await act()
            await asyncio.sleep(0.05)
            starved[watch] = seconds_without_a_cpu() - begun
        return watch

    watch = run(main)
    assert isinstance(watch, LoopWatch)
    for late in watch.late:
        parts = late.own_seconds + late.gil_seconds + late.machine_seconds
        assert parts == pytest.approx(late.seconds, abs=1e-6)
    return watch


starved: WeakKeyDictionary[LoopWatch, float] = WeakKeyDictionary()


def seconds_without_a_cpu() -> float:
    """Return how long threads of this process wanted to run and had no CPU, by the kernel's counts.

    What the host of a virtual machine takes is in no thread's count, but in that of all CPUs.
    """
    return (stolen_ns() + all_without_a_cpu_ns()) / 1e9


def share(watch: LoopWatch, name: str) -> float:
    """Return a cause's share of the lateness, but for what the machine has added.

    It takes the CPU from the loop's thread, or from another one that holds the GIL.
    """
    seconds, named = watch.totals["seconds"], watch.totals[f"{name}_seconds"]
    return named / (seconds - min(seconds - named, starved[watch]))


def in_python(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(100))


def in_a_child(seconds: float) -> None:
    subprocess.run(["sleep", str(seconds)], capture_output=True)  # which selects, as a loop does


@loops
@pytest.mark.parametrize("block", [in_python, hold_gil, time.sleep, in_a_child])
def test_the_loops_own_callback(run: Any, block: Callable[[float], None]) -> None:
    def slow_callback() -> None:
        block(0.3)

    async def act() -> None:
        for _ in range(3):  # who looks may have no CPU for all of one
            asyncio.get_running_loop().call_soon(slow_callback)
            await asyncio.sleep(0.4)

    watch = watched(run, act)
    print(watch)
    assert watch.totals["seconds"] > 0.2
    assert share(watch, "own") >= 0.9
    found = [late for late in watch.late if late.callback and "slow_callback" in late.callback]
    assert found
    worst = max(found, key=lambda late: late.own_seconds)
    assert worst.own_seconds > 0.2 - worst.machine_seconds  # when it was set aside
    assert re.search(r"(test_asyncio|testing|selectors)\.py:\d+ ", str(worst.callback))
    assert "slow_callback" in str(watch)


@loops
def test_a_callback_that_blocks_before_the_first_tick(run: Any) -> None:
    async def blocks_at_once() -> LoopWatch:
        with LoopWatch(interval_seconds=0.02) as watch:
            time.sleep(1)
            await asyncio.sleep(0.05)
        return watch

    watch = run(blocks_at_once)
    late = watch.late[0]
    assert late.own_seconds > 0.5
    assert "blocks_at_once" in str(late.callback)


@loops
def test_a_task_of_the_loop(run: Any) -> None:
    async def slow_task() -> None:
        for _ in range(3):  # who looks may have no CPU for all of one
            in_python(0.3)
            await asyncio.sleep(0.4)

    watch = watched(run, slow_task)
    assert share(watch, "own") >= 0.9
    found = [late for late in watch.late if "in_python" in str(late.callback)]
    assert max(late.own_seconds for late in found) > 0.2


@loops
def test_another_thread_holds_the_gil(run: Any) -> None:
    def greedy_thread() -> None:
        hold_gil(1)  # longer than any other that has no CPU meanwhile

    async def act() -> None:
        thread = threading.Thread(target=greedy_thread, name="greedy")
        thread.start()
        await asyncio.sleep(0.01)
        while thread.is_alive():
            await asyncio.sleep(0.01)

    watch = watched(run, act)
    print(watch)
    assert watch.totals["seconds"] > 0.9
    assert share(watch, "gil") >= 0.9
    worst = max(watch.late, key=lambda late: late.gil_seconds)
    assert worst.callback is None
    assert str(worst.holder).startswith("greedy")
    assert "greedy" in str(watch)


@loops
def test_many_short_holds_of_others(run: Any) -> None:
    async def act() -> None:
        await asyncio.sleep(0.5)

    # It leaves the CPUs alone; and its threads are begun and joined outside, which blocks a loop.
    with GilLoad(0.02, 0.0001, threads=2, sleep=True):
        watch = watched(run, act)
    print(watch)
    assert watch.totals["late"] > 0
    assert share(watch, "gil") >= 0.9
    assert any(str(late.holder).startswith("GilLoad") for late in watch.late)


STOPPED = """
import asyncio, os, time
from gilknocker.integrations.asyncio import LoopWatch

async def main():
    pid, loop = os.getpid(), asyncio.get_running_loop()
    def again(due):
        if loop.time() - due > 1:
            time.sleep(SHORT)
        loop.call_later(0.002, again, loop.time() + 0.002)
    with LoopWatch(interval_seconds=0.02) as watch:
        await asyncio.sleep(0.1)
        other = await asyncio.create_subprocess_exec(
            "sh", "-c", f"read go; sleep 1; kill -STOP {pid}; sleep 1.5; kill -CONT {pid}",
            stdin=-1)
        again(loop.time())
        other.stdin.write(b"go\\n")  # now that all is set up, and the loop has nothing to do
        await other.wait()
        await asyncio.sleep(0.05)
    worst = max(watch.late, key=lambda late: late.seconds)
    print(worst.seconds, worst.machine_seconds, worst.callback, worst.holder, sep="|")

(RUN)(main())
"""


@pytest.mark.parametrize("run", ["asyncio.run", "__import__('uvloop').run"])
@pytest.mark.parametrize("short", [0, 0.08])
def test_the_machine(run: str, short: float) -> None:
    """A callback comes before the tick when it goes on, nearly always: it is not what blocked."""
    if "uvloop" in run:
        pytest.importorskip("uvloop")
    done = subprocess.run(
        [sys.executable, "-c", STOPPED.replace("(RUN)", run).replace("SHORT", str(short))],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    seconds, machine, callback, holder = done.stdout.strip().split("|")
    assert float(seconds) > 1.4
    assert float(machine) >= 0.9 * float(seconds)
    assert (callback, holder) == ("None", "None")


@loops
def test_an_idle_loop_is_not_late_for_any_reason_of_its_own(run: Any) -> None:
    async def act() -> None:
        await asyncio.sleep(0.3)

    watch = watched(run, act)
    assert watch.ticks > 3
    assert watch.totals["own_seconds"] < 0.05


def test_it_leaves_nothing() -> None:
    async def main() -> None:
        watch = LoopWatch()
        watch.stop()  # nothing
        watch.start()
        watch.start()
        names = [thread.name for thread in threading.enumerate()]
        assert names.count("LoopWatch") == 1
        watch.stop()
        watch.stop()
        assert "LoopWatch" not in [thread.name for thread in threading.enumerate()]
        ticks = watch.ticks
        await asyncio.sleep(0.1)
        assert watch.ticks == ticks
        watch.start()
        await asyncio.sleep(0.12)
        watch.stop()
        assert watch.ticks > ticks

    asyncio.run(main())


@loops
def test_a_loop_that_closes_ends_the_watch_and_another_begins_anew(run: Any) -> None:
    watch = LoopWatch(interval_seconds=0.01)

    async def begins() -> None:
        watch.start()  # and nobody stops it, as where main() raises
        await asyncio.sleep(0.1)

    try:
        for _ in range(2):
            ticks = watch.ticks
            run(begins)
            assert watch.ticks > ticks
            watch._looking.join(SECONDS)
            assert not watch._looking.is_alive()
            assert not watch._tracer.is_running
        run(begins)  # and now the thread may not have noticed yet
        run(begins)
    finally:
        watch.stop()
    assert not watch._looking.is_alive()
    assert not watch._tracer.is_running
    watch.stop()  # nothing


def test_a_start_that_fails_leaves_nothing_and_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        watch = LoopWatch(interval_seconds=0.01)
        others: list[GilTracer] = []
        try:
            with pytest.raises(RuntimeError, match="tracer"):
                for _ in range(100):  # until there are too many
                    others.append(GilTracer(0))
                    others[-1].start()
            with pytest.raises(RuntimeError, match="tracer"):
                watch.start()
            watch.stop()  # nothing
        finally:
            for other in others:
                other.stop()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                watch.start()
        assert not watch._tracer.is_running
        watch.stop()
        with watch:
            await asyncio.sleep(0.1)
        assert watch.ticks > 0

    asyncio.run(main())


def test_bad_use_is_refused() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        LoopWatch().start()
    for name in ("interval_seconds", "threshold_seconds"):
        with pytest.raises(ValueError, match=name):
            LoopWatch(**{name: 0})
