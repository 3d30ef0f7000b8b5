"""Stacks of what held the GIL, by a meter that runs beside it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from known_shares import PARTS, c_code, churning, deep_recursion, python_loop, shares
from majority import mostly_within
from needs import needs_gil
from waiting import wait_until, work_until

from gilknocker import KnockKnock, Snapshot, StacksUnsupported, _core

PROBLEM = _core.stack_problem()
needs_stacks = pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))


@pytest.mark.skipif(PROBLEM is None, reason="stacks can be read here")
def test_where_stacks_cannot_be_read_they_are_refused_with_the_reason() -> None:
    with pytest.raises(StacksUnsupported, match=str(PROBLEM).split()[0]):
        KnockKnock(stacks=True)
    assert issubclass(StacksUnsupported, RuntimeError)


ROUND = 0.05  # seconds of CPU time


def do_all(seconds: float, spent: Counter[str]) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        for part, share in PARTS.items():
            begun = time.monotonic()  # it holds the GIL also while it has no CPU
            part(time.thread_time() + share * ROUND)
            spent[part.__name__] += time.monotonic() - begun


def measured(threads: int, seconds: float) -> tuple[Snapshot, dict[str, float]]:
    spent: Counter[str] = Counter()
    workers = [
        threading.Thread(target=do_all, args=(seconds, spent), name=f"worker {k}")
        for k in range(threads)
    ]
    with KnockKnock(stacks=True) as knocker:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        snapshot = knocker.snapshot()
    total = sum(spent.values())
    return snapshot, {name: seconds / total for name, seconds in spent.items()}


@needs_stacks
def test_shares_are_those_of_the_time_of_a_lone_thread() -> None:
    """Mostly: it may have to let go of the GIL for a knocker that gets no CPU, and wait for it."""

    def miss() -> float:
        snapshot, truth = measured(1, 1.5)
        found = shares(snapshot)
        assert set(found) == set(truth)
        assert "worker 0" in {one.thread for one in snapshot.stacks}
        # benchmarks/stacks.py: 0.02
        return max(abs(found[name] - share) for name, share in truth.items()) - 0.08

    mostly_within(miss)


@needs_stacks
def test_all_threads_are_seen_and_all_sums_agree() -> None:
    snapshot, truth = measured(3, 0.5)
    assert set(shares(snapshot)) == set(truth)  # how large, on a busy machine: benchmarks/stacks.py
    assert {f"worker {k}" for k in range(3)} <= {one.thread for one in snapshot.stacks}
    assert sum(one.held_seconds for one in snapshot.stacks) == pytest.approx(snapshot.held_seconds)
    unknown = sum(one.held_seconds for one in snapshot.stacks if not one.frames)
    assert unknown <= 0.02 * snapshot.held_seconds
    paid = sum(row.waited_seconds for row in snapshot.blame)
    assert paid == pytest.approx(snapshot.wait_total_ns / 1e9, rel=0.02)


@needs_stacks
def test_a_stack_begins_with_the_outermost_and_ends_with_the_line_that_ran() -> None:
    snapshot, _ = measured(1, 1.5)
    # The largest: a look may also meet a function that has just been called, at its first line.
    stack = next(
        one for one in snapshot.stacks if one.frames and one.frames[-1].function == "python_loop"
    )
    functions = [frame.function for frame in stack.frames]
    assert functions[-2:] == ["do_all", "python_loop"]
    assert "_bootstrap" in functions[0]  # of threading
    assert stack.frames[-1].file == python_loop.__code__.co_filename
    first = python_loop.__code__.co_firstlineno
    assert first < stack.frames[-1].line <= first + 2


def add_in_c(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(3_000_000))  # some 50 ms, in which it lets go of nothing


@needs_stacks
def test_code_that_keeps_the_gil_is_native_and_python_code_is_not() -> None:
    with KnockKnock(stacks=True) as knocker:  # whose knocks are those who wait
        add_in_c(1.5)
        python_loop(time.thread_time() + 1.5)
        stacks = knocker.snapshot().stacks
    largest = {one.frames[-1].function: one for one in reversed(stacks) if one.frames}
    assert largest["add_in_c"].native or sys.version_info < (3, 11)  # which keeps no native ids
    assert not largest["python_loop"].native


def work_until_seen(knocker: KnockKnock, part: Callable[[float], None], seconds: float) -> None:
    """Do a part of the work until there are stacks of it: the watcher may have no CPU meanwhile."""
    before = knocker.snapshot()
    work_until(
        lambda: part.__name__ in shares(knocker.snapshot() - before),
        lambda: part(time.thread_time() + seconds),
    )


@needs_stacks
def test_a_reset_forgets_them_and_a_difference_is_what_came_after() -> None:
    with KnockKnock(stacks=True) as knocker:
        work_until_seen(knocker, c_code, 0.2)
        first = knocker.snapshot()
        work_until_seen(knocker, python_loop, 0.2)
        second = knocker.snapshot()
        knocker.reset_contention_metric()
        work_until_seen(knocker, deep_recursion, 0.2)
        third = knocker.snapshot()
    assert set(shares(first)) == {"c_code"}
    assert shares(second - first)["python_loop"] > 0.9
    assert set(shares(third)) == {"deep_recursion"}


@needs_stacks
def test_not_asked_for_they_are_not_read() -> None:
    with KnockKnock() as knocker:
        python_loop(time.thread_time() + 0.05)
        assert knocker.snapshot().stacks == ()


@needs_stacks
def test_beside_threads_that_churn_nearly_every_look_is_whole() -> None:
    with KnockKnock(stacks=True) as knocker:
        with churning():
            wait_until(lambda: knocker.snapshot().ticks_held > 500, seconds=60, every=0.5)
        snapshot = knocker.snapshot()
    unknown = sum(one.held_seconds for one in snapshot.stacks if not one.frames)
    assert unknown <= 0.02 * snapshot.held_seconds  # benchmarks/stacks.py: 0.01
    last = {one.frames[-1].function.rpartition(".")[2] for one in snapshot.stacks if one.frames}
    assert {"live", "(no Python code)"} <= last  # a thread that begins or ends has none


@needs_stacks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_stacks_are_the_child_s() -> None:
    with KnockKnock(stacks=True) as knocker:
        work_until_seen(knocker, python_loop, 0.05)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                knocker.start()
                work_until_seen(knocker, c_code, 0.3)
                knocker.stop()
                found = shares(knocker.snapshot())
                status = 0 if set(found) == {"c_code"} else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert "python_loop" in shares(knocker.snapshot())


@needs_gil
@needs_stacks
def test_the_stack_of_a_loop_at_module_level() -> None:
    code = compile("while clock() < end: pass", "module of a test", "exec")

    def seen() -> bool:
        last = [one.frames[-1] for one in knocker.snapshot().stacks if one.frames]
        return ("<module>", "module of a test", 1) in last

    with KnockKnock(stacks=True) as knocker:
        work_until(
            seen,
            lambda: exec(code, {"clock": time.thread_time, "end": time.thread_time() + 0.2}),
        )
