"""Our threads beside the program's: many at once, unseen by Python, deaf to signals."""

from __future__ import annotations

import faulthandler
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from idle import find_no_contention
from own_threads import NAMES, our_threads, thread_names
from runs import run_strictly
from waiting import wait_until

from gilknocker import KnockKnock

pytestmark = pytest.mark.thread_unsafe(reason="they look at the whole process")


@contextmanager
def both_threads(knocker: KnockKnock) -> Iterator[dict[int, str]]:
    """Run `knocker`; yield the names of its threads by the operating system's numbers."""
    with knocker:
        wait_until(lambda: sorted(our_threads().values()) == sorted(NAMES))
        yield our_threads()


# ---- many of them, from many threads -----------------------------------------------------


def test_many_at_once_in_an_idle_process() -> None:
    knockers = [KnockKnock(method="look") for _ in range(64)]
    with ExitStack() as running:
        for knocker in knockers:
            running.enter_context(knocker)
        wait_until(lambda: len(our_threads()) == 128)
        find_no_contention(knockers, seconds=3, allowed=0.001)
        for knocker in knockers:  # none of them starves
            wait_until(lambda knocker=knocker: knocker.snapshot().ticks > 500, 60, every=0.1)
    wait_until(lambda: our_threads() == {})


def in_threads(count: int, work: Callable[[random.Random], None]) -> None:
    """Run `work` in threads that start together, each with random numbers of its own."""
    errors = []
    barrier = threading.Barrier(count)

    def run(seed: int) -> None:
        barrier.wait()
        try:
            work(random.Random(seed))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_start_and_stop_from_many_threads() -> None:
    knocker = KnockKnock(100, 10, knock_interval_micros=100)
    begin = time.monotonic_ns()

    def work(numbers: random.Random) -> None:
        for _ in range(60):
            numbers.choice([knocker.start, knocker.stop])()
            if numbers.random() < 0.3:
                time.sleep(numbers.random() / 1000)

    in_threads(8, work)
    knocker.stop()
    seen = knocker.snapshot(waits=True)
    assert not knocker.is_running
    wait_until(lambda: our_threads() == {})
    assert seen.observed_ns <= time.monotonic_ns() - begin
    assert 0 <= seen.ticks_held + seen.ticks_own <= seen.ticks
    assert seen.wait_times.size == seen.knocks


def test_reading_and_resetting_from_many_threads() -> None:
    knocker = KnockKnock(50, knock_interval_micros=50)
    knocker.start()

    def work(numbers: random.Random) -> None:
        for _ in range(150):
            choice = numbers.random()
            if choice < 0.1:
                knocker.reset_contention_metric()
            elif choice < 0.3:
                assert 0 <= knocker.contention_metric <= 1
            elif choice < 0.6:
                assert (knocker.wait_times >= 0).all()
                assert (knocker.knock_times > 0).all()
            else:
                seen = knocker.snapshot(waits=True)
                assert seen.wait_times.size == seen.knock_times.size == seen.knocks
                assert seen.wait_times.sum() == seen.wait_total_ns
                assert sum(count for _, _, count in seen.histogram) == seen.knocks
                assert seen.ticks_held + seen.ticks_own + seen.ticks_disabled <= seen.ticks
                ends = seen.knock_times + seen.wait_times
                assert (seen.knock_times[1:] >= ends[:-1]).all()
            time.sleep(0.0002)

    in_threads(4, work)
    knocker.stop()
    assert knocker.snapshot().epoch > 0


# ---- what the program sees of our threads -------------------------------------------------


def test_names() -> None:
    before = thread_names()
    with both_threads(KnockKnock()) as names:
        # Less what ended meanwhile: a thread that was joined is still there for a moment.
        assert thread_names().items() <= (before | names).items()
        assert names.items() <= thread_names().items()
        assert sorted(names.values()) == sorted(NAMES)
    wait_until(lambda: thread_names().items() <= before.items())


def test_python_sees_no_thread_of_ours(tmp_path: Path) -> None:
    threads = set(threading.enumerate())
    with both_threads(KnockKnock(100, knock_interval_micros=100)):
        assert set(threading.enumerate()) == threads
        assert threading.active_count() == len(threads)
        known = {thread.ident for thread in threads}
        for _ in range(100):
            assert set(sys._current_frames()) <= known
        with open(tmp_path / "dump", "w+") as dump:
            for _ in range(20):
                faulthandler.dump_traceback(dump, all_threads=True)
            dump.seek(0)
            text = dump.read()
    assert text.count("Current thread") == 20
    assert text.count("(most recent call first)") == 20 * (len(threads) + 1)  # the knocker
    assert text.count("test_python_sees_no_thread_of_ours") == 20


# ---- signals ------------------------------------------------------------------------------


def test_all_signals_but_faults_are_blocked_in_our_threads() -> None:
    faults = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
    unblockable = {signal.SIGKILL, signal.SIGSTOP}
    wanted = set(signal.valid_signals()) - faults - unblockable
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with both_threads(KnockKnock()) as names:
        assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
        for thread in names:
            lines = Path(f"/proc/self/task/{thread}/status").read_text().splitlines()
            [mask] = [line.split()[1] for line in lines if line.startswith("SigBlk")]
            assert {n for n in range(1, 65) if int(mask, 16) >> (n - 1) & 1} == wanted


def test_signal_that_the_program_blocks_after_start_waits() -> None:
    done = run_strictly(
        """
        import os, signal, time
        from gilknocker import KnockKnock
        with KnockKnock() as knocker:
            time.sleep(0.02)
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR1])
            os.kill(os.getpid(), signal.SIGTERM)  # the default would end the process
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(0.05)
            print(signal.sigpending() == {signal.SIGTERM, signal.SIGUSR1})
        """
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "True\n")


def test_handlers_run_and_sleeps_last() -> None:
    times = []

    def handle(number: int, frame: object) -> None:
        assert threading.current_thread() is threading.main_thread()
        times.append(time.monotonic())

    before = signal.signal(signal.SIGALRM, handle)
    try:
        with KnockKnock(100, knock_interval_micros=100):
            signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
            begin = end = time.monotonic()
            slept = 0
            while len(times) < 10:  # of 59 in each sleep, on a quiet machine
                time.sleep(0.3)  # goes on after each signal (PEP 475)
                slept += 1
                end = time.monotonic()
                assert end - begin >= slept * 0.3
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert slept
