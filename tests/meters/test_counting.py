"""KnockKnock(method="count"): exact, never less than before, and out of everybody's way.

The witness of the figures is a tracer, which is held to an oracle of its own in test_tracer.py.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest
from needs import needs_tracer
from oracle import Oracle
from waiting import wait_until, work_until

from gilknocker import GilTracer, KnockKnock, Snapshot, _core
from gilknocker.testing import GilLoad, hold_gil, release_gil

pytestmark = needs_tracer


def count(**options: int) -> KnockKnock:
    return KnockKnock(method="count", **options)


def run_together(target: Callable[[], object], threads: int) -> None:
    started = [threading.Thread(target=target, name=f"work-{n}") for n in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()


# ---- the truth ---------------------------------------------------------------------------------


def apart_ns(one: Snapshot, other: Snapshot) -> int:
    """Return how much time is in one window only: the GIL may have been held in all of it, or not.

    Two snapshots of one moment are some µs apart, and on a busy machine more.
    """
    return abs(one.start_ns - other.start_ns) + abs(one.end_ns - other.end_ns)


@pytest.mark.parametrize("interval", [100, 1_000, 100_000])
@pytest.mark.parametrize(("held", "free"), [(5, 45), (200, 50), (20_000, 20_000)])
def test_the_held_fraction_is_the_tracer_s(interval: int, held: int, free: int) -> None:
    """In the median of windows: a thread may lose its CPU between the clock readings of the two."""
    with (
        GilLoad(held / 1e6, free / 1e6),
        GilTracer() as tracer,
        count(polling_interval_micros=interval) as knocker,
    ):
        excess = []
        for seconds in (0.02,) * 8 + (0.1,):
            before, traced = knocker.snapshot(), tracer.snapshot()
            release_gil(seconds)
            seen, truth = knocker.snapshot() - before, tracer.snapshot() - traced
            assert seen.held_fraction is not None and truth.held_fraction is not None
            apart = apart_ns(seen, truth) / truth.observed_ns
            excess.append(abs(seen.held_fraction - truth.held_fraction) - 2 * apart)
            assert (seen.method, seen.counted_ns, seen.ticks) == ("count", seen.observed_ns, 0)
            assert seen.held_fraction_interval == (seen.held_fraction, seen.held_fraction)
    assert statistics.median(excess) <= 0.004, excess


def beyond(held: int, least: int, most: int) -> int:
    return max(least - held, held - most, 0)


@pytest.mark.parametrize("load", [hold_gil, release_gil])
@pytest.mark.parametrize("begin", ["start", "reset"])
@pytest.mark.parametrize("polling", [1, 100, 1_000])
def test_a_short_window_of_the_0_4_schedule_is_exact(
    polling: int, begin: str, load: Callable[[float], object]
) -> None:
    """Within what the tracer saw held between the ends of the window, and around them.

    In the median of windows: a thread may lose its CPU between the clock readings of the two.
    """
    with GilTracer(0) as tracer:
        for milliseconds in (1, 3, 20):
            excess = []
            for _ in range(9):
                knocker = KnockKnock(polling_interval_micros=polling)
                if begin == "reset":
                    knocker.start()
                    release_gil(0.002)
                around = tracer.snapshot()
                knocker.start() if begin == "start" else knocker.reset_contention_metric()
                within = tracer.snapshot()
                load(milliseconds / 1e3)
                least = tracer.snapshot().held_ns - within.held_ns
                seen, metric = knocker.snapshot(), knocker.contention_metric
                most = tracer.snapshot().held_ns - around.held_ns
                knocker.stop()
                assert (seen.method, seen.ticks) == ("count", 0)
                assert seen.counted_ns == seen.observed_ns >= milliseconds * 1_000_000
                assert metric > 0
                excess.append(beyond(seen.held_ns, least, most) / seen.observed_ns)
            assert statistics.median(excess) <= 0.002, excess


def test_a_hold_in_progress_counts() -> None:
    with count() as knocker:
        knocker.reset_contention_metric()
        before = knocker.snapshot()
        hold_gil(0.05)
        seen = knocker.snapshot() - before
    assert 50_000_000 <= seen.held_ns <= seen.observed_ns


@pytest.mark.parametrize("traced", [False, True])
def test_it_is_as_exact_without_tracers_and_as_they_come_and_go(traced: bool) -> None:
    """A take that is counted in one way, and its drop in another, would be off by days."""
    with count() as knocker:
        before = knocker.snapshot()
        for _ in range(20):
            with GilTracer(0) if traced else nullcontext():
                hold_gil(0.001)
                release_gil(0.002)
            hold_gil(0.001)
            release_gil(0.002)
        seen = knocker.snapshot() - before
    assert seen.method == "count"
    assert 40_000_000 <= seen.held_ns <= seen.observed_ns - 80_000_000
    holders = {holder.name: holder.share for holder in seen.holders}
    assert holders["MainThread"] == pytest.approx(1)


def test_the_account_goes_on_after_a_stop_like_a_stopwatch() -> None:
    knocker = count()
    began = time.monotonic_ns()
    for _ in range(3):
        with knocker:
            hold_gil(0.01)
        hold_gil(0.01)
    elapsed = time.monotonic_ns() - began
    seen = knocker.snapshot()
    assert seen.counted_ns == seen.observed_ns <= elapsed - 30_000_000
    assert 30_000_000 <= seen.held_ns <= seen.observed_ns
    assert seen == knocker.snapshot()


def test_holders_are_those_of_the_tracer() -> None:
    with GilTracer() as tracer, count() as knocker:
        knocker.holders(), tracer.snapshot()  # imports what they need
        run_together(lambda: hold_gil(0.05), 3)
        hold_gil(0.05)
        seen, truth = knocker.snapshot(), tracer.snapshot()
    shares = {holder.native_id: holder.share for holder in seen.holders}
    bound = 0.02 + 2 * apart_ns(seen, truth) / truth.held_ns
    for holder in truth.holders:
        assert shares.get(holder.native_id, 0) == pytest.approx(holder.share, abs=bound)
    assert sum(shares.values()) == pytest.approx(1)
    assert knocker.holders() == knocker.snapshot().holders
    assert {"MainThread"} <= {holder.name for holder in seen.holders}


def test_no_holder_is_lost_when_threads_end() -> None:
    with count() as knocker:
        for _ in range(50):
            run_together(lambda: None, 100)
        took, seen = [], []
        for _ in range(20):
            before = time.perf_counter_ns()
            seen.append(knocker.snapshot())
            took.append(time.perf_counter_ns() - before)
    assert min(took) < 2_000_000  # 0.2 ms on a quiet machine
    assert all(len(one.holders) <= 257 for one in seen)
    # The two are of one moment, but where the machine sets us aside in between: not each time.
    lost = [abs(sum(held for *_, held in one._holders) / one.held_ns - 1) for one in seen]
    assert min(lost) < 0.01
    assert "other threads" in {holder.name for holder in seen[-1].holders}


# ---- what only grows ---------------------------------------------------------------------------

CUMULATIVE = ("held_ns", "counted_ns", "observed_ns", "ticks", "ticks_held", "knocks", "cpu_ns")


@pytest.mark.parametrize("method", ["count", "look", "knock"])
def test_cumulative_numbers_never_fall(method: str) -> None:
    with KnockKnock(500, method=method) as knocker, GilLoad(300e-6, 700e-6):  # type: ignore[arg-type]
        last = knocker.snapshot()
        for n in range(300):
            release_gil(0.001 * (n % 3))
            seen = knocker.snapshot()
            for name in CUMULATIVE:
                assert getattr(seen, name) >= getattr(last, name), name
            if last.held_seconds == last.held_seconds:  # not NaN
                assert seen.held_seconds >= last.held_seconds
            assert seen.held_ns <= seen.observed_ns
            assert Snapshot.from_dict(seen.to_dict()) == seen
            last = seen


# ---- out of the way ----------------------------------------------------------------------------


def slot_values() -> list[tuple[int, int]]:
    import ctypes

    return [(slot, ctypes.c_size_t.from_address(slot).value) for slot in _core.trace_slots()]


def test_the_second_knocker_touches_no_pointer_and_the_last_puts_it_back() -> None:
    assert _core.trace_slots() == []
    knockers = [count() for _ in range(20)]
    knockers[0].start()
    slots = slot_values()
    assert slots
    for knocker in knockers[1:]:
        knocker.start()
    assert slot_values() == slots
    run_together(lambda: hold_gil(0.005), 2)
    metrics = [knocker.contention_metric for knocker in knockers]
    assert all(metrics)
    for knocker in knockers[:-1]:
        knocker.stop()
    assert slot_values() == slots
    knockers[-1].stop()
    assert _core.trace_slots() == []


@contextmanager
def overwritten(value: int = 0) -> Iterator[None]:
    """Put the function itself where our hook stands, as somebody would who knows nothing of us."""
    import ctypes

    [(slot, hook)] = slot_values()
    real = ctypes.cast(ctypes.CDLL(None).pthread_cond_signal, ctypes.c_void_p).value
    assert real
    page = slot & ~0xFFF
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(page), 4096, 3) == 0
    cell = ctypes.c_size_t.from_address(slot)
    cell.value = real
    try:
        yield
    finally:
        if cell.value == real:
            cell.value = hook


def test_who_asks_for_nothing_counts() -> None:
    with KnockKnock() as knocker:
        hold_gil(0.01)
        assert (knocker.method, knocker.method_reason) == ("count", "")
        assert "; counts, knocks every 10 ms" in str(knocker)
        seen = knocker.snapshot()
    assert (seen.method, seen.method_reason, seen.ticks) == ("count", "", 0)
    assert seen.counted_ns == seen.observed_ns
    assert seen.clock in ("tsc", "cntvct", "clock_gettime")


@pytest.mark.skipif(not Oracle.supported()[0], reason=Oracle.supported()[1])
def test_beside_another_that_redirects_it_looks_without_a_word() -> None:
    with Oracle() as oracle:
        with KnockKnock(1_000) as knocker, GilLoad(0.002, 0.002):
            wait_until(lambda: knocker.snapshot().ticks_held > 5)
            seen = knocker.snapshot()
            assert (knocker.method, seen.method, seen.counted_ns) == ("look", "look", 0)
            assert "redirected by somebody else" in knocker.method_reason
            assert seen.method_reason == knocker.method_reason
            assert "; looks every 1.0 ms" in str(knocker)
        before = oracle.total().holds
        release_gil(0.001)
        assert oracle.total().holds > before  # its pointers are still its own
    with KnockKnock() as knocker:
        assert (knocker.method, knocker.method_reason) == ("count", "")


def test_a_pointer_that_others_change_ends_the_counting_and_not_the_measuring() -> None:
    with count(interval_micros=1_000, knock_interval_micros=1_000) as knocker:
        wait_until(lambda: knocker.snapshot().counted_ns > 10_000_000)
        with overwritten():
            wait_until(lambda: knocker.method == "look")
            assert "redirected" in knocker.method_reason
            before = knocker.snapshot()
            # How right looks are is not of this test: on a busy machine most are missed.
            with GilLoad(0.002, 0.002):
                wait_until(lambda: (knocker.snapshot() - before).ticks_held > 5)
            seen = knocker.snapshot() - before
            assert seen.counted_ns == 0
            low, high = seen.held_fraction_interval or (0, 0)
            assert low < high
    with count() as knocker:  # and the next one counts again
        hold_gil(0.01)
        assert knocker.method == "count"
        assert knocker.snapshot().held_ns >= 10_000_000


def test_beyond_the_budget_it_looks_and_says_so() -> None:
    with KnockKnock(500, knock_interval_micros=500, method="count", max_overhead=0) as knocker:
        # Not both, one after the other: after a second it tries again.
        wait_until(lambda: "max_overhead" in knocker.method_reason)
        wait_until(lambda: knocker.snapshot().ticks > 20)
        seen = knocker.snapshot()
        assert 0 < seen.counted_ns < seen.observed_ns
        wait_until(lambda: knocker.snapshot().counted_ns > seen.counted_ns)


def test_never_started_it_reads_nothing() -> None:
    knocker = count()
    assert knocker.contention_metric == 0.0
    knocker.reset_contention_metric()
    knocker.stop()
    knocker.stop()
    assert knocker.contention_metric == 0.0
    assert knocker.holders() == ()
    assert "unknown" in str(knocker.snapshot())


@pytest.mark.parametrize("value", ["exact", "", "Count"])
def test_other_methods_are_refused_by_name(value: str) -> None:
    with pytest.raises(ValueError, match="method must be one of auto, count, look, knock, not "):
        KnockKnock(method=value)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"method must be one of .* not 5"):
        KnockKnock(method=5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"max_overhead must be a real number .* from 0 to 1"):
        KnockKnock(max_overhead=2)
    with pytest.raises(TypeError, match="max_overhead must be "):
        KnockKnock(max_overhead="much")  # type: ignore[arg-type]


PROGRAMS = {
    "left running": "import gilknocker; k = gilknocker.KnockKnock(method='count'); k.start()",
    "dropped": "import gilknocker; gilknocker.KnockKnock(method='count').start()",
    "forked": """
import os, gilknocker, time
k = gilknocker.KnockKnock(method='count'); k.start()
pid = os.fork()
if pid == 0:
    assert not k.is_running and k.contention_metric == 0.0
    k.start(); time.sleep(0.02)
    s = k.snapshot()
    assert s.method == 'count' and 0 < s.counted_ns == s.observed_ns, s
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
assert k.is_running and k.snapshot().method == 'count'
""",
    "forked by C": """
import ctypes, os, gilknocker, threading, time
k = gilknocker.KnockKnock(method='count', knock_interval_micros=1_000_000); k.start()
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    threads = [threading.Thread(target=sum, args=(range(100_000),)) for _ in range(4)]
    [t.start() for t in threads]; [t.join() for t in threads]
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
k.stop()
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_process_that_counts_ends_well(name: str) -> None:
    command = [sys.executable, "-W", "error", "-c", PROGRAMS[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(_core.stack_problem() is not None, reason="stacks cannot be read here")
def test_stacks_are_of_the_threads_that_are_counted() -> None:
    def work() -> None:
        until = time.thread_time() + 0.2
        while time.thread_time() < until:
            pass

    def named() -> set[str]:
        return {
            stack.thread
            for stack in knocker.snapshot().stacks
            if stack.frames and stack.frames[-1].function.rpartition(".")[2] == "work"
        }

    with KnockKnock(500, method="count", stacks=True) as knocker:
        work_until(lambda: len(named()) >= 2, lambda: run_together(work, 2))
    assert named() == {"work-0", "work-1"}
