"""Runners around exits and forks: the policy on its own, then real forks."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from weakref import ref

import pytest

from gilknocker import _core
from gilknocker.meters.last_hook import LastHook
from gilknocker.meters.lifecycle import Lifecycle

pytestmark = pytest.mark.thread_unsafe(reason="they share a fixture's object")


class Runner:
    """Notes how it is treated."""

    fails = False

    def __init__(self) -> None:
        self.is_running = False
        self.starts = 0

    def start(self) -> None:
        if self.fails:
            raise RuntimeError("can't start new thread")
        self.is_running = True
        self.starts += 1

    def stop(self, timeout_ns: int) -> bool:
        self.is_running = False
        return timeout_ns > 0


@pytest.fixture
def process() -> Lifecycle:
    return Lifecycle()


def begin_fork(process: Lifecycle) -> None:
    _core.at_fork(process, 1, process.before_fork)


def end_fork(process: Lifecycle) -> None:
    _core.at_fork(process, -1, process.after_fork_in_parent)


def in_a_thread(function: Callable[[], None]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_it_starts_and_stops_and_says_whether_a_thread_was_stuck(process: Lifecycle) -> None:
    runner = Runner()
    process.start(runner)
    assert process.is_running(runner)
    assert process.stop(runner, 5) is True
    assert not process.is_running(runner)
    assert process.stop(runner, 0) is False


def test_exit_stops_all_for_good(process: Lifecycle) -> None:
    runners = [Runner() for _ in range(3)]
    for runner in runners:
        process.start(runner)
    process.at_exit()
    assert not any(runner.is_running for runner in runners)
    with pytest.raises(RuntimeError, match="the interpreter is exiting"):
        process.start(runners[0])
    process.stop(runners[0], 5)
    begin_fork(process)
    end_fork(process)
    assert not runners[0].is_running


def test_what_could_not_start_is_not_resumed_later(process: Lifecycle) -> None:
    runner = Runner()
    runner.fails = True
    with pytest.raises(RuntimeError, match="can't start new thread"):
        process.start(runner)
    runner.fails = False
    begin_fork(process)
    end_fork(process)
    assert not process.is_running(runner)


def test_what_is_prepared_for_a_start_meets_no_fork(process: Lifecycle) -> None:
    runner, seen = Runner(), []
    forks = threading.Event()

    def prepare() -> None:
        # Another thread's fork waits until this is done.
        thread = threading.Thread(target=lambda: (begin_fork(process), forks.set()))
        thread.start()
        seen.append((runner.is_running, forks.wait(0.05), process.forks, thread))

    process.start(runner, prepare=prepare)
    [(running, forked, under_way, thread)] = seen
    assert (running, forked, under_way) == (False, False, 0)
    thread.join()
    process.start(Runner(), prepare=lambda: seen.append(None))  # while that fork is under way
    assert len(seen) == 1
    end_fork(process)
    assert runner.is_running and runner.starts == 2


def test_what_cannot_be_prepared_is_not_started_later(process: Lifecycle) -> None:
    runner = Runner()

    def prepare() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        process.start(runner, prepare=prepare)
    begin_fork(process)
    end_fork(process)
    assert not process.is_running(runner) and runner.starts == 0


def test_it_keeps_no_runner_alive(process: Lifecycle) -> None:
    runners = [Runner() for _ in range(3)]
    for runner in runners:
        process.start(runner)
    references = list(map(ref, runners))
    del runner, runners
    gc.collect()
    assert [reference() for reference in references] == [None, None, None]
    begin_fork(process)
    end_fork(process)
    process.start(Runner())
    process.at_exit()
    assert len(process._known) == 0


def test_a_fork_pauses_what_runs_and_nothing_else(process: Lifecycle) -> None:
    running, stopped, fresh = Runner(), Runner(), Runner()
    for runner in (running, stopped):
        process.start(runner)
    process.stop(stopped, 5)
    begin_fork(process)
    assert not running.is_running
    assert process.is_running(running)
    assert not process.is_running(stopped)
    end_fork(process)
    assert running.is_running
    assert not stopped.is_running
    assert not fresh.is_running


def test_a_fork_waits_for_a_knock_that_waits_for_its_turn(process: Lifecycle) -> None:
    ended = threading.Event()

    class Waiting(Runner):
        """Ends when its turn has come: among many busy threads that takes a while."""

        def stop(self, timeout_ns: int) -> bool:
            super().stop(timeout_ns)
            return ended.wait(timeout_ns / 1e9)

    runner = Waiting()
    process.start(runner)
    turn = threading.Timer(0.3, ended.set)
    turn.start()
    begin_fork(process)
    assert ended.is_set()
    end_fork(process)
    turn.join()
    assert runner.is_running


def test_what_is_stopped_during_a_fork_stays_stopped(process: Lifecycle) -> None:
    runner = Runner()
    process.start(runner)
    begin_fork(process)
    process.stop(runner, 5)
    assert not process.is_running(runner)
    end_fork(process)
    assert not process.is_running(runner)


def test_what_is_started_during_a_fork_starts_after_it(process: Lifecycle) -> None:
    runner = Runner()
    begin_fork(process)
    process.start(runner)
    assert not runner.is_running
    assert process.is_running(runner)
    end_fork(process)
    assert runner.is_running


def test_of_two_forks_at_once_the_last_one_resumes(process: Lifecycle) -> None:
    runner = Runner()
    process.start(runner)
    begin_fork(process)
    begin_fork(process)
    end_fork(process)
    assert not runner.is_running
    end_fork(process)
    assert runner.is_running
    assert runner.starts == 2


def test_hooks_without_their_counterpart_do_no_harm(process: Lifecycle) -> None:
    end_fork(process)  # imported by somebody else's hook
    runner = Runner()
    process.start(runner)
    assert runner.is_running


def test_the_child_knows_of_no_runner(process: Lifecycle) -> None:
    runner = Runner()
    process.start(runner)
    begin_fork(process)
    with process.lock:  # as another thread of the parent may
        in_a_thread(process.after_fork_in_child)
        assert not process.is_running(runner)
        in_a_thread(lambda: process.start(runner))
    assert process.is_running(runner)


def test_one_that_cannot_go_on_does_not_keep_the_others_from_it(process: Lifecycle) -> None:
    runners = [Runner() for _ in range(3)]
    for runner in runners:
        process.start(runner)
    begin_fork(process)
    runners[0].fails = True
    end_fork(process)
    assert [process.is_running(runner) for runner in runners] == [False, True, True]


class Unregistered(LastHook):
    """It has what is to be called, and nobody calls it."""

    def __init__(self) -> None:
        self.calls = []

    def be_last(self) -> None:
        self.calls.clear()


def test_where_a_fork_ends_after_its_hooks_the_main_thread_defers() -> None:
    hook, runner = Unregistered(), Runner()
    process = Lifecycle(hook)
    process.start(runner)
    begin_fork(process)
    end_fork(process)
    assert not runner.is_running
    assert process.is_running(runner)
    [resume] = hook.calls
    resume()
    assert runner.is_running
    assert hook.calls == []
    in_a_thread(lambda: begin_fork(process))
    in_a_thread(lambda: end_fork(process))
    assert runner.is_running


def test_a_deferred_start_can_be_overtaken() -> None:
    process, first, second = Lifecycle(Unregistered()), Runner(), Runner()
    for runner in (first, second):
        process.start(runner)
    begin_fork(process)
    end_fork(process)
    process.start(first)
    assert first.is_running
    process.stop(second, 5)
    process.resume()
    assert (first.starts, second.starts) == (2, 1)


FORKS = """
import os, subprocess, threading, time, warnings
from gilknocker import KnockKnock, _core
from gilknocker.meters.lifecycle import PROCESS

def measured():
    seen = knocker.snapshot()
    return seen.ticks + seen.counted_ns

def fork():
    pid = os.fork()
    if not pid:
        fresh = not knocker.is_running and knocker.contention_metric == 0.0
        fresh = fresh and measured() == 0
        with knocker:
            while not measured():
                time.sleep(0.001)
        os._exit(not fresh)
    assert knocker.is_running
    assert os.waitpid(pid, 0)[1] == 0
    seen = measured()
    while measured() == seen:
        time.sleep(0.001)

def in_threads(function):
    threads = [threading.Thread(target=function) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

with KnockKnock(1000) as knocker:
    for _ in range(5):
        fork()
    subprocess.run(["true"], preexec_fn=os.getpid)
    warnings.simplefilter("ignore")  # from now on there are threads that are not ours
    in_threads(fork)
    assert knocker.is_running
assert not knocker.is_running
fork_without = os.fork() or os._exit(0)
assert os.waitpid(fork_without, 0)[1] == 0
assert not knocker.is_running and PROCESS._deferred == []
"""


def test_real_forks_are_not_warned_about_and_leave_it_running_in_the_parent_only() -> None:
    # Not "error": CPython 3.13.0 drops the exception that it makes of this warning.
    command = [sys.executable, "-I", "-W", "always", "-c", FORKS]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


# ---- handlers of signals that raise -----------------------------------------------------------


def test_what_is_insisted_on_is_done_whatever_is_raised_meanwhile() -> None:
    left = [KeyboardInterrupt(), TimeoutError(), SystemExit()]
    done = []

    def work() -> None:
        if left:
            raise left.pop()
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        _core.insist(work)
    assert done == [True]


class Interrupted(Runner):
    """Is interrupted now and then, as by the handler of a signal."""

    def __init__(self, interrupts: int) -> None:
        super().__init__()
        self.interrupts = interrupts

    def _interrupt(self) -> None:
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt

    def start(self) -> None:
        self._interrupt()
        super().start()

    def stop(self, timeout_ns: int) -> bool:
        self._interrupt()
        return super().stop(timeout_ns)


def test_all_are_stopped_at_an_exit_that_is_interrupted(process: Lifecycle) -> None:
    runners = [Interrupted(0), Interrupted(0), Interrupted(0)]
    for runner in runners:
        process.start(runner)
    for runner in runners:
        runner.interrupts = 2
    with pytest.raises(KeyboardInterrupt):
        _core.insist(process.at_exit)
    assert not any(runner.is_running for runner in runners)


def test_all_go_on_after_a_fork_that_is_interrupted(process: Lifecycle) -> None:
    runners = [Interrupted(0), Interrupted(0), Interrupted(0)]
    for runner in runners:
        process.start(runner)
    for runner in runners:
        runner.interrupts = 2
    with pytest.raises(KeyboardInterrupt):
        begin_fork(process)
    assert not any(runner.is_running for runner in runners)
    assert all(process.is_running(runner) for runner in runners)
    for runner in runners:
        runner.interrupts = 2
    with pytest.raises(KeyboardInterrupt):
        end_fork(process)
    assert all(runner.is_running for runner in runners)
    assert process.forks == 0


def test_a_start_that_was_interrupted_is_not_made_up_for(process: Lifecycle) -> None:
    runner = Interrupted(1)
    with pytest.raises(KeyboardInterrupt):
        process.start(runner)
    begin_fork(process)
    end_fork(process)
    assert not process.is_running(runner) and runner.starts == 0
