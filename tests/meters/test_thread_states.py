"""Our threads' states, in the eyes of others who look at all thread states of the interpreter."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from needs import needs_gil
from waiting import wait_until

from gilknocker import KnockKnock

pytestmark = pytest.mark.thread_unsafe(reason="they look at the whole process")

# ---- whoever walks through them finds none that is gone -----------------------------------

WALKS = {
    "faulthandler": "faulthandler.dump_traceback(nowhere, all_threads=True)",
    "current frames": "sys._current_frames(), sys._current_exceptions()",
    "setprofile": "threading.setprofile_all_threads(None); threading.settrace_all_threads(None)",
    "monitoring": "sys.monitoring.set_events(2, 1 << 5); sys.monitoring.set_events(2, 0)",
}
SINCE_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="it came with Python 3.12")

# Knockers that rest when they are stopped, which their stoppers do for them.
BESIDE = """
    import faulthandler, os, sys, threading, time
    from gilknocker import KnockKnock

    nowhere = open(os.devnull, "w")
    if hasattr(sys, "monitoring"):
        sys.monitoring.use_tool_id(2, "walker")
    sys.setswitchinterval(1e-4)
    end = time.monotonic() + 1.0
    done = []

    def walk():
        while not done:
            {walk}

    walker = threading.Thread(target=walk)
    walker.start()
    starts = 0
    while time.monotonic() < end or starts <= 10:
        with KnockKnock():
            starts += 1
    done.append(True)
    walker.join()
    nowhere.close()
"""


@pytest.mark.parametrize(
    "kind",
    [
        "faulthandler",
        "current frames",
        pytest.param("setprofile", marks=SINCE_3_12),
        pytest.param("monitoring", marks=SINCE_3_12),
    ],
)
def test_walkers_meet_no_state_that_is_gone(kind: str) -> None:
    program = textwrap.dedent(BESIDE).format(walk=WALKS[kind])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- and ours are there only while they are used ------------------------------------------


def states() -> set[int]:
    """Return the idents of all thread states: also of those without a frame."""
    return set(sys._current_exceptions())


def ident_of_this_state() -> int:
    get = ctypes.pythonapi.PyGILState_GetThisThreadState
    get.restype = ctypes.c_void_p
    return int(get() or 0)


def ours(before: set[int]) -> set[int]:
    return states() - before


@needs_gil
@pytest.mark.parametrize("knock_interval_micros", [50, 10_000_000])
def test_one_state_while_it_runs_and_none_after(knock_interval_micros: int) -> None:
    before = states()
    mine = ident_of_this_state()
    knocker = KnockKnock(knock_interval_micros=knock_interval_micros)
    for _ in range(20):
        knocker.start()
        knocker.start()  # it runs already: nothing more
        assert len(ours(before)) == 1
        wait_until(lambda: ours(before) != {0})  # until its thread has moved in
        assert len(ours(before)) == 1
        knocker.stop()
        assert states() == before
    # CPython 3.12 forgets which state a thread has that deletes another one's.
    assert ident_of_this_state() == mine


@needs_gil
def test_what_is_meant_for_the_starter_reaches_it() -> None:
    send = ctypes.pythonapi.PyThreadState_SetAsyncExc
    send.argtypes = [ctypes.c_ulong, ctypes.py_object]
    ident = threading.get_ident()

    def start_and_be_interrupted(knocker: KnockKnock) -> None:
        knocker.start()
        send(ident, TimeoutError)
        for _ in range(1000):
            pass

    for _ in range(20):
        knocker = KnockKnock()
        with pytest.raises(TimeoutError):
            start_and_be_interrupted(knocker)
        knocker.stop()


def test_knocks_pass_the_checks_of_a_debugged_memory() -> None:
    program = """
        import threading
        from gilknocker import KnockKnock

        with KnockKnock(100, knock_interval_micros=100) as knocker:
            worker = threading.Thread(target=sum, args=[range(10**7)], name="busy")
            worker.start()
            worker.join()
            while not knocker.snapshot().knocks:
                pass
    """
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


# ---- what reads stacks from outside -------------------------------------------------------


BUSY = """
    def work():
        print("works", flush=True)
        while True:
            sum(range(1000))

    work()
"""

AWAITING = """
    import asyncio

    async def waits():
        await asyncio.sleep(60)

    async def main():
        async with asyncio.TaskGroup() as group:
            group.create_task(waits(), name="awaited")
            await asyncio.sleep(0)
            print("works", flush=True)

    asyncio.run(main())
"""


@contextmanager
def knocked(program: str = BUSY) -> Iterator[int]:
    """Run `program` with a knocker until it says that it works; yield the process's number."""
    start = """
        from gilknocker import KnockKnock

        knocker = KnockKnock(1000)
        knocker.start()
        while not knocker.snapshot().knocks:
            pass
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "works\n"
            yield process.pid
        finally:
            process.kill()


def shown(*command: str) -> str:
    """Return what `command` prints; skip where no process may read another."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "ermission" in done.stderr:
        pytest.skip("no process may read another here")
    assert done.returncode == 0, done.stderr
    return done.stdout


def unwinder(pid: int, **options: Any) -> Any:
    debugging = pytest.importorskip("_remote_debugging", reason="it came with Python 3.15")
    try:
        return debugging.RemoteUnwinder(pid, all_threads=True, **options)
    except PermissionError:
        pytest.skip("no process may read another here")


@pytest.mark.skipif(sys.version_info < (3, 15), reason="this reader came with Python 3.15")
@pytest.mark.parametrize("option", ["cache_frames", "native", "gc"])
def test_pythons_own_sampler_sees_all_threads(option: str) -> None:
    with knocked() as pid:
        reader = unwinder(pid, **{option: True})
        seen = 0
        for _ in range(60):
            for interpreter in reader.get_stack_trace():
                stacks = [[frame.funcname for frame in t.frame_info] for t in interpreter.threads]
                seen += any("work" in stack for stack in stacks)
        assert seen == 60


@pytest.mark.skipif(sys.version_info < (3, 14), reason="it came with Python 3.14")
def test_asyncio_ps_sees_the_tasks() -> None:
    with knocked(AWAITING) as pid:
        assert "awaited" in shown(sys.executable, "-m", "asyncio", "ps", str(pid))


def test_py_spy_sees_the_stacks() -> None:
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        pytest.skip("py-spy is not installed")
    with knocked() as pid:
        assert "work (<string>" in shown(spy, "dump", "--pid", str(pid))
