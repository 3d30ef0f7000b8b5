"""Forks of a process that measures: it goes on in the parent, and in the child it never ran."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import pytest

PREAMBLE = """
import os
hooks = []  # called before a fork when ours have been, and after it in the parent before ours
call_hooks = lambda: [hook() for hook in hooks]
os.register_at_fork(before=call_hooks, after_in_parent=call_hooks)
import ctypes, subprocess, sys, threading, time, warnings
from gilknocker import KnockKnock
from gilknocker._load import hold_gil

raw_fork = ctypes.PyDLL(None).fork  # keeps the GIL, and tells Python nothing

def our_threads():
    names = []
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/comm") as comm:
                names.append(comm.read().strip())
        except OSError:
            pass
    return sorted(name for name in names if name.startswith("gilknock"))

def wait_until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.001)

def measured(knocker):
    # How much it knows of when the GIL was held: looks, or counted time.
    seen = knocker.snapshot()
    return seen.ticks + seen.counted_ns

def check_goes_on(knocker):
    assert knocker.is_running
    before, so_far = knocker.snapshot(), measured(knocker)
    wait_until(lambda: measured(knocker) > so_far)
    wait_until(lambda: knocker.snapshot().knocks > before.knocks)
    wait_until(lambda: our_threads() == ["gilknock-knock", "gilknock-watch"])

def check_never_ran(knocker):
    wait_until(lambda: our_threads() == [])
    assert not knocker.is_running
    assert knocker.contention_metric == 0.0
    seen = knocker.snapshot(waits=True)
    assert measured(knocker) == 0
    assert (seen.knocks, seen.observed_ns, seen.in_flight_ns) == (0, 0, 0)
    assert seen.pid == os.getpid()
    assert len(seen.wait_times) == len(knocker.wait_times) == 0
    knocker.stop()

def in_child(function, fork=os.fork):
    # Forks, calls the function in the child, and waits for its end: an orderly one.
    pid = fork()
    if pid == 0:
        function()
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7

knocker = KnockKnock(1000, knock_interval_micros=1000)
"""

# "error" alone would not do: CPython 3.13 drops the exception that it makes of this warning.
FILTERS = ["error", "always"]
# Of threads that are not ours, and so rightly.
OTHER_THREADS = "warnings.simplefilter('ignore', DeprecationWarning)\n"


def check(*arguments: object, filter: str = "error") -> None:
    """Run Python; neither it nor the children that it waits for may say anything."""
    command = [sys.executable, "-X", "faulthandler", "-W", filter, *map(str, arguments)]
    output = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=output, stderr=output, text=True, start_new_session=True
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its children, where it failed
    assert (process.returncode, stdout, stderr) == (0, "", "")


def check_program(program: str, *, filter: str = "error") -> None:
    check("-I", "-c", PREAMBLE + textwrap.dedent(program), filter=filter)


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("fork", ["os.fork", "lambda: os.forkpty()[0]"])
def test_fork(filter: str, fork: str) -> None:
    check_program(
        f"""
        def child():
            check_never_ran(knocker)
            with knocker:
                check_goes_on(knocker)
            wait_until(lambda: our_threads() == [])
            knocker.start()  # left to the exit

        knocker.start()
        check_goes_on(knocker)
        for _ in range(5):
            in_child(child, {fork})
            check_goes_on(knocker)
        knocker.stop()
        in_child(lambda: check_never_ran(knocker))
        assert not knocker.is_running
        wait_until(lambda: our_threads() == [])
        """,
        filter=filter,
    )


def test_it_counts_as_running_during_a_fork() -> None:
    check_program(
        """
        states = []
        def note():
            wait_until(lambda: our_threads() == [])  # joined, they leave /proc a moment later
            states.append(knocker.is_running)
        hooks.append(note)
        in_child(lambda: None)
        knocker.start()
        in_child(lambda: None)
        assert states == [False, False, True, True]
        hooks.append(knocker.stop)
        in_child(lambda: None)
        assert not knocker.is_running
        hooks[:] = [knocker.start]
        in_child(lambda: None)
        check_goes_on(knocker)
        """
    )


@pytest.mark.parametrize("filter", FILTERS)
def test_fork_in_the_block(filter: str) -> None:
    check_program(
        """
        for _ in range(3):
            with knocker:
                check_goes_on(knocker)
                pid = os.fork()
            assert not knocker.is_running
            wait_until(lambda: our_threads() == [])
            if pid == 0:
                check_never_ran(knocker)
                sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
            assert measured(knocker) > 0
        """,
        filter=filter,
    )


@pytest.mark.parametrize("filter", FILTERS)
def test_hooks_in_python_that_are_registered_later(filter: str) -> None:
    # Where Python counts threads after them (3.13.0 to 3.13.9, 3.14.0), and they run what is
    # pending: ours must not have started by then.
    check_program(
        """
        knocker.start()
        check_goes_on(knocker)
        for _ in range(3):
            os.register_at_fork(after_in_parent=lambda: time.sleep(0.001))
            for _ in range(3):
                in_child(lambda: check_never_ran(knocker))
                check_goes_on(knocker)
        """,
        filter=filter,
    )


@pytest.mark.parametrize("filter", FILTERS)
def test_nested_forks(filter: str) -> None:
    check_program(
        """
        def go_down(levels):
            check_never_ran(knocker)
            knocker.start()
            check_goes_on(knocker)
            if levels:
                in_child(lambda: go_down(levels - 1))
                check_goes_on(knocker)
        go_down(3)
        """,
        filter=filter,
    )


def test_fork_that_python_is_not_told_of() -> None:
    # As good as no knocks: where one waits for the GIL during such a fork, the child inherits
    # CPython's condition variable with a thread waiting that does not exist, and may hang. Nor
    # while the first thread begins: free-threaded 3.13 stops the world for it, a child's for ever.
    check_program(
        """
        def check_looks(knocker):
            assert knocker.is_running
            so_far = measured(knocker)
            wait_until(lambda: measured(knocker) > so_far)
            wait_until(lambda: our_threads() == ["gilknock-knock", "gilknock-watch"])
        def child():
            check_never_ran(knocker)
            with knocker:
                check_looks(knocker)
            in_child(lambda: check_never_ran(knocker), raw_fork)
            knocker.start()  # left to the exit
        first = threading.Thread(target=int)
        first.start()
        first.join()
        knocker = KnockKnock(1000, knock_interval_micros=10**12)
        knocker.start()
        for _ in range(10):
            in_child(child, raw_fork)
            check_looks(knocker)
        """
    )


def test_fork_in_another_thread() -> None:
    # CPython warns of the main thread here, whatever ours do.
    check_program(
        OTHER_THREADS
        + textwrap.dedent(
            """
            def child():
                check_never_ran(knocker)
                with knocker:
                    check_goes_on(knocker)
                os._exit(7)  # the forking thread is not the main one: its exit is no process's
            def work():
                for _ in range(3):
                    in_child(child)
                assert knocker.is_running
                done.append(True)
            done = []
            knocker.start()
            threads = [threading.Thread(target=work) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(done) == 3
            check_goes_on(knocker)
            """
        )
    )


@pytest.mark.parametrize("fork", ["os.fork", "raw_fork"])
def test_fork_while_a_knock_is_stuck(fork: str) -> None:
    check_program(
        OTHER_THREADS
        + textwrap.dedent(
            f"""
            from gilknocker.meters import lifecycle
            lifecycle.FORK_TIMEOUT_NS = 10_000_000

            def child():
                if {fork} is raw_fork:  # see above
                    os._exit(1 if knocker.is_running or knocker.contention_metric else 7)
                check_never_ran(knocker)
                with knocker:
                    check_goes_on(knocker)
            def hold():
                for _ in range(20):
                    hold_gil(0.02)
            if {fork} is raw_fork:
                # Whoever waits for longer asks for the GIL to be let go. A child that inherited
                # that would do so, and wait for a thread that takes it.
                sys.setswitchinterval(1000)
            knocker.start()
            threads = [threading.Thread(target=hold) for _ in range(3)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                in_child(child, {fork})
                assert knocker.is_running
            wait_until(lambda: len(our_threads()) == 2)  # those that were stuck have ended
            check_goes_on(knocker)
            """
        )
    )


def test_forks_while_other_threads_start_and_stop() -> None:
    check_program(
        OTHER_THREADS
        + textwrap.dedent(
            """
            def use(mine):
                while not done:
                    mine.start()
                    mine.snapshot()
                    time.sleep(0.0005)
                    mine.stop()
                    assert not mine.is_running  # nor will it, when a fork is done
            def child():
                wait_until(lambda: our_threads() == [])
                for one in (knocker, *knockers):
                    assert not one.is_running
                with knocker:
                    check_goes_on(knocker)
            done = []
            knockers = [KnockKnock(100, knock_interval_micros=100) for _ in range(3)]
            knocker.start()
            threads = [threading.Thread(target=use, args=[one]) for one in knockers]
            for thread in threads:
                thread.start()
            for _ in range(30):
                in_child(child)
                assert knocker.is_running
            done.append(True)
            for thread in threads:
                thread.join()
            check_goes_on(knocker)
            """
        )
    )


def test_child_keeps_what_was_handed_out() -> None:
    check_program(
        """
        knocker.start()
        check_goes_on(knocker)
        seen, waits = knocker.snapshot(waits=True), knocker.wait_times
        expected = waits.tolist()
        def child():
            assert waits.tolist() == expected
            assert seen.wait_times.sum() == seen.wait_total_ns
            assert seen.pid == os.getppid()
            try:
                knocker.snapshot() - seen
            except ValueError:
                return
            os._exit(1)
        in_child(child)
        """
    )


def test_child_drops_it() -> None:
    check_program(
        """
        knocker.start()
        def child():
            global knocker
            del knocker
            with KnockKnock(1000, knock_interval_micros=1000) as fresh:
                check_goes_on(fresh)
        for _ in range(3):
            in_child(child)
        check_goes_on(knocker)
        """
    )


@pytest.mark.parametrize("filter", FILTERS)
def test_other_programs(filter: str) -> None:
    check_program(
        """
        knocker.start()
        check_goes_on(knocker)
        for _ in range(5):
            subprocess.run(["true"], check=True)
            subprocess.run("true", shell=True, check=True, start_new_session=True)
            subprocess.run(["true"], check=True, preexec_fn=os.getpid)
            pid = os.posix_spawn("/bin/true", ["true"], {})
            assert os.waitpid(pid, 0)[1] == 0
            assert os.system("true") == 0
            check_goes_on(knocker)
        """,
        filter=filter,
    )


@pytest.mark.parametrize("filter", FILTERS)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method: str, filter: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        PREAMBLE
        + textwrap.dedent(
            """
            import multiprocessing

            def child(numbers):
                check_never_ran(knocker)
                with knocker:
                    check_goes_on(knocker)
                    numbers.put(knocker.snapshot())
                knocker.start()  # left to the exit

            if __name__ == "__main__":
                context = multiprocessing.get_context(sys.argv[1])
                knocker.start()
                check_goes_on(knocker)
                for _ in range(2):
                    numbers = context.SimpleQueue()
                    process = context.Process(target=child, args=[numbers])
                    process.start()
                    seen = numbers.get()
                    process.join()
                    assert process.exitcode == 0
                    assert seen.pid == process.pid
                    assert seen.ticks + seen.counted_ns > 0
                    check_goes_on(knocker)
            """
        )
    )
    check(program, method, filter=filter)
