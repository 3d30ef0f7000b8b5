"""Forks and other processes, while it runs: on in the parent, never begun in the child."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from registry import fault
from subject import (
    FORKS,
    check_goes_on,
    check_never_ran,
    in_child,
    in_threads,
    is_ours,
    kept,
    make,
    numbers,
    pause,
    quiet_unraisable,
    started,
)


def _with_threads_of_its_own() -> None:
    """Drop the warning that is right: of threads that are not ours."""
    warnings.simplefilter("ignore", DeprecationWarning)


@fault("`os.fork` in the main thread")
def fork_main() -> None:
    [mine] = started()
    pause()
    for _ in range(3):
        in_child(lambda: check_never_ran(mine))
        check_goes_on(mine)


@fault("`os.fork`, the child leaves it running at its exit")
def fork_and_leave() -> None:
    [mine] = started()

    def child() -> None:
        mine.stop()
        mine.start()
        kept.extend(started())
        pause()

    for _ in range(3):
        in_child(child)
        check_goes_on(mine)


@fault("`os.fork` in other threads at once")
def fork_threads() -> None:
    _with_threads_of_its_own()
    [mine] = started()
    pause()
    in_threads(lambda: in_child(lambda: check_never_ran(mine), orderly=False), 3)
    check_goes_on(mine)


@fault("`os.fork` in a pool of threads")
def fork_pool() -> None:
    _with_threads_of_its_own()
    [mine] = started()
    with ThreadPoolExecutor(3) as pool:
        for done in [
            pool.submit(in_child, lambda: check_never_ran(mine), orderly=False) for _ in range(6)
        ]:
            done.result()
    check_goes_on(mine)


@fault("`os.fork` while other threads start and stop")
def fork_while_used() -> None:
    _with_threads_of_its_own()
    [mine] = started()
    done = []

    def use() -> None:
        other = make()
        while not done:
            other.start()
            other.stop()
            assert not other.is_running

    def fork() -> None:
        try:
            for _ in range(5):
                in_child(lambda: check_never_ran(mine), orderly=False)
        finally:
            done.append(True)

    jobs = iter([fork, use, use])
    in_threads(lambda: next(jobs)(), 3)
    check_goes_on(mine)


@fault("`os.fork` while the handler of a signal raises")
def fork_interrupted() -> None:
    quiet_unraisable()

    armed = []

    def interrupt(*_: object) -> None:
        if armed:
            armed.clear()
            raise TimeoutError

    def fork() -> None:
        armed.append(True)
        signal.setitimer(signal.ITIMER_REAL, 1e-6 + numbers.random() * 2e-3)
        if os.fork() == 0:
            os._exit(0)
        pause()
        armed.clear()

    mine = started(3)
    signal.signal(signal.SIGALRM, interrupt)
    for _ in range(20):
        with suppress(TimeoutError):
            fork()
    signal.setitimer(signal.ITIMER_REAL, 0)
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    for one in mine:
        check_goes_on(one)


def _work(number: int) -> int:
    mine = make()
    mine.start()
    check_goes_on(mine)
    if number % 2:
        mine.stop()
    else:
        kept.append(mine)
    return number


def _multiprocessing(method: str) -> None:
    [mine] = started()
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=_work, args=[numbers.randrange(2)])
    process.start()
    process.join()
    assert process.exitcode == 0
    _with_threads_of_its_own()
    with context.Pool(2) as pool:
        assert pool.map(_work, range(4)) == [0, 1, 2, 3]
    check_goes_on(mine)


@fault("`multiprocessing`, fork")
def multiprocessing_fork() -> None:
    _multiprocessing("fork")


@fault("`multiprocessing`, forkserver")
def multiprocessing_forkserver() -> None:
    _multiprocessing("forkserver")


@fault("`multiprocessing`, spawn")
def multiprocessing_spawn() -> None:
    _multiprocessing("spawn")


@fault("`os.posix_spawn`, `subprocess`, `os.system`")
def other_programs() -> None:
    [mine] = started()
    for _ in range(3):
        pid = os.posix_spawn("/bin/true", ["true"], {})
        assert os.waitpid(pid, 0)[1] == 0
        subprocess.run(["/bin/true"], check=True, timeout=300)
        if is_ours():  # that forks
            subprocess.run(["/bin/true"], check=True, preexec_fn=os.getpid, timeout=300)
        assert os.system("/bin/true") == 0
        check_goes_on(mine)


def _libc(*, holds_gil: bool) -> Any:
    """Return the C library, called with the GIL held or not."""
    return (ctypes.PyDLL if holds_gil else ctypes.CDLL)(None)


def _compute(threads: int = 2) -> None:
    """Compute in threads, which takes and asks for the GIL in every way."""

    def work() -> None:
        for _ in range(3):
            sum(range(20_000))
            time.sleep(0)

    in_threads(work, threads)


def _fork_behind_python(threads: int) -> None:
    """Let children of the C library's `fork` compute; every tenth of them measures, too."""
    [mine] = started(interval_micros=numbers.choice([50, 200, 1000]))
    libc = _libc(holds_gil=numbers.random() < 0.5)
    for number in range(FORKS):
        pid = libc.fork()
        if pid == 0:
            signal.alarm(20)
            _compute(threads)
            if number % 10 == 0:
                check_never_ran(mine)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    check_goes_on(mine)


@fault("`fork` of the C library, a thread in the child", only_ours=True)
def fork_behind_python_one() -> None:
    _fork_behind_python(1)


@fault("`fork` of the C library, two threads in the child", only_ours=True)
def fork_behind_python() -> None:
    _fork_behind_python(2)


@fault("`daemon` of the C library", only_ours=True)
def daemon_of_libc() -> None:
    [mine] = started(interval_micros=numbers.choice([50, 200, 1000]))
    said, says = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine.start()
        pause()
        _libc(holds_gil=numbers.random() < 0.5).daemon(1, 1)  # the parent ends in it
        signal.alarm(20)
        _compute()
        os.write(says, b"done")
        os._exit(0)
    os.close(says)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.read(said, 4) == b"done"
    os.close(said)
    check_goes_on(mine)


@fault("`os.execv`")
def execv() -> None:
    kept.extend(started())
    pause()
    os.execv(sys.executable, [sys.executable, "-I", "-c", "pass"])
