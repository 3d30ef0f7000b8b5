"""Threads of ours that run Python code: gone when they are said to be, one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from waiting import wait_until

from gilknocker import _core
from gilknocker._core import OwnThread
from gilknocker.meters.bare_thread import BareThread

PATIENCE_NS = 60_000_000_000

needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="reads /proc")


def tasks() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def test_each_is_joined_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Recorded:
        def __init__(self, function: Callable[[], object]) -> None:
            self._thread = OwnThread(function)

        def start(self) -> None:
            seen.append("start")
            self._thread.start()

        def join(self) -> None:
            self._thread.join()
            seen.append("joined")

    monkeypatch.setattr(_core, "OwnThread", Recorded)
    thread, go = BareThread(), threading.Event()
    for _ in range(2):
        thread.start(go.wait)
        assert not thread.wait(1_000_000)
        go.set()
        assert thread.wait(PATIENCE_NS) and thread.wait(PATIENCE_NS)
        go.clear()
    assert seen == ["start", "joined"] * 2


@needs_proc
def test_the_system_has_it_no_more_a_moment_later() -> None:
    before, thread = tasks(), BareThread()
    for _ in range(100):
        go = threading.Event()
        thread.start(go.wait)
        assert thread.is_running and len(tasks() - before) == 1
        go.set()
        assert thread.wait(PATIENCE_NS) and not thread.is_running
        wait_until(lambda: tasks() <= before)  # joined, it leaves /proc a moment later


def test_one_at_a_time_and_patience_ends() -> None:
    thread, go, calls = BareThread(), threading.Event(), []
    assert thread.wait(0)  # none was started
    thread.start(lambda: (calls.append(1), go.wait()))
    thread.start(lambda: calls.append(2))
    assert not thread.wait(1_000_000)
    go.set()
    assert thread.wait(PATIENCE_NS) and thread.wait(0)
    assert calls == [1]


@needs_proc
def test_one_that_nobody_waits_for_leaves_no_stack() -> None:
    def mapped_mib() -> int:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") >> 20

    before, mapped, one = tasks(), mapped_mib(), threading.stack_size()
    for _ in range(100):
        BareThread().start(lambda: None)  # its stack is of 8 MiB, mostly
        wait_until(lambda: tasks() <= before)
    assert one or mapped_mib() < mapped + 400


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_one_that_was_started_before_a_fork_is_dropped_after_it() -> None:
    program = """
import os, threading
from gilknocker.meters.bare_thread import BareThread
go, thread = threading.Event(), BareThread()
thread.start(go.wait)
child = os.fork()
del thread
if not child:
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
go.set()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_exit_waits_until_they_have_begun_and_lets_none_begin_after_it() -> None:
    # One that asks for the GIL for the first time when the interpreter has gone crashed: 4 % of the
    # lives of the program above, on 3.14.
    program = """
import atexit, sys
sys.setswitchinterval(100)  # none has the GIL before the main thread waits for something
begun = []

def afterwards():
    try:
        BareThread().start(print)
    except RuntimeError as error:
        print(len(begun), error)

atexit.register(afterwards)  # called last, for it came first
from gilknocker.meters.bare_thread import BareThread
threads = [BareThread() for _ in range(20)]
for thread in threads:
    thread.start(lambda: begun.append(1))
"""
    said = "20 the interpreter is exiting: no thread can be started any more\n"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, said, "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_of_a_fork_behind_python_does_not_wait_for_its_parents() -> None:
    program = """
import ctypes, os, sys
sys.setswitchinterval(100)
from gilknocker.meters.bare_thread import BareThread
thread = BareThread()
thread.start(lambda: None)  # has not begun when the child is made
child = ctypes.PyDLL(None).fork()
if not child:
    sys.exit(7)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")


def test_it_is_unknown_to_threading() -> None:
    known: list[set[threading.Thread]] = []
    before, thread = set(threading.enumerate()), BareThread()
    thread.start(lambda: known.append(set(threading.enumerate())))
    assert thread.wait(PATIENCE_NS) and known == [before]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python does not warn of forks yet")
@needs_proc
def test_a_fork_beside_the_callback_of_stalls_warns_of_nothing() -> None:
    program = """
import os, gilknocker
with gilknocker.watch_stalls("10 s", callback=print):
    for _ in range(100):
        child = os.fork()
        if not child:
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
