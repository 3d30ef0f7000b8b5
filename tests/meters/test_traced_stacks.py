"""Stacks beside a trace: their times are the trace's exact ones, and so are the waits for them."""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise

import pytest
from needs import needs_tracer
from waiting import work_until

from gilknocker import GilTracer, KnockKnock, Snapshot, StacksUnsupported, _core
from gilknocker.testing import hold_gil

PROBLEM = _core.stack_problem()
pytestmark = [needs_tracer, pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))]


def c_code(end: float) -> None:
    while time.monotonic() < end:
        hold_gil(0.03)
        time.sleep(0)


def python_loop(end: float) -> None:
    while time.monotonic() < end:
        pass


def mostly_away(end: float) -> None:
    while time.monotonic() < end:
        time.sleep(0.001)


def lets_go_often(end: float) -> None:
    """Compute 1 ms and read a byte, over and over."""
    zero = os.open("/dev/zero", os.O_RDONLY)
    while time.monotonic() < end:
        rest = time.monotonic() + 0.001
        while time.monotonic() < rest:
            pass
        os.read(zero, 1)
    os.close(zero)


def run(*targets: Callable[[float], None], seconds: float = 1.0) -> tuple[GilTracer, Snapshot]:
    """Return what was seen of these; of more time where who looks has had no CPU for a tenth."""
    for _ in range(4):
        tracer, snapshot = run_once(targets, seconds)
        if snapshot.ticks > 100 * seconds:
            break
        seconds *= 2
    return tracer, snapshot


def run_once(
    targets: Iterable[Callable[[float], None]], seconds: float
) -> tuple[GilTracer, Snapshot]:
    end = time.monotonic() + seconds
    threads = [
        threading.Thread(target=target, args=(end,), name=target.__name__) for target in targets
    ]
    with GilTracer(stacks=True) as tracer:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return tracer, tracer.snapshot()


def paid_for(tracer: GilTracer) -> dict[str, int]:
    """Return by thread how long others waited while it held the GIL, ns: told by the events."""
    names = {thread.serial: thread.name for thread in tracer.threads()}
    events = tracer.events()
    holds = events[events["kind"] == GilTracer.HOLD]
    waits = events[events["kind"] == GilTracer.WAIT]
    paid = dict.fromkeys(names.values(), 0)
    for hold in holds:
        begun = waits["start"].clip(hold["start"], hold["end"])
        over = waits["end"].clip(hold["start"], hold["end"])
        others = waits["thread"] != hold["thread"]
        paid[names[int(hold["thread"])]] += int((over - begun)[others].sum())
    return paid


def leaves(snapshot: Snapshot) -> set[str]:
    """Return the functions that held the GIL, of which looks know."""
    return {one.frames[-1].function for one in snapshot.stacks if one.frames}


def bound(snapshot: Snapshot) -> float:
    """Return how far shares may be off: looks that never came have not seen who held it then."""
    return 0.08 + snapshot.ticks_missed / (snapshot.ticks + snapshot.ticks_missed)


def test_times_sum_up_to_the_exact_ones() -> None:
    tracer, snapshot = run(c_code, python_loop, mostly_away)
    held = sum(stack.held_seconds for stack in snapshot.stacks)
    waited = sum(blame.waited_seconds for blame in snapshot.blame)
    assert held == pytest.approx(snapshot.held_ns / 1e9)
    assert waited == pytest.approx(snapshot.waited_ns / 1e9)
    assert waited == pytest.approx(sum(one.waited_ns for one in tracer.threads()) / 1e9, rel=0.02)
    assert snapshot.ticks > 100 and snapshot.interval_ns == 1_000_000 and snapshot.cpu_ns > 0


def test_who_paid_is_what_the_events_tell() -> None:
    tracer, snapshot = run(c_code, python_loop, mostly_away, seconds=1.5)
    truth = paid_for(tracer)
    found = dict.fromkeys(truth, 0.0)
    for blame in snapshot.blame:
        name = {"hold_gil": "c_code"}.get(blame.function, blame.function)
        if name in found:
            found[name] += blame.waited_seconds
    every = sum(truth.values()) / 1e9
    for name in ("c_code", "python_loop", "mostly_away"):
        exact = pytest.approx(truth[name] / 1e9 / every, abs=bound(snapshot))
        assert found[name] / every == exact, name
    assert truth["c_code"] > 0.2e9  # others waited for it, and one of them all the time


def retaken_from(tracer: GilTracer) -> int:
    """Return how long others waited in holds that began by taking the GIL back, ns, by events."""
    events = tracer.events()
    holds = events[events["kind"] == GilTracer.HOLD]
    waits = events[events["kind"] == GilTracer.WAIT]
    found = 0
    for before, hold in pairwise(holds):
        if before["thread"] != hold["thread"]:
            continue
        if not ((waits["start"] < before["end"]) & (waits["end"] > hold["start"])).any():
            continue
        begun = waits["start"].clip(hold["start"], hold["end"])
        found += int((waits["end"].clip(hold["start"], hold["end"]) - begun).sum())
    return found


def test_blame_says_which_function_took_it_back_while_others_waited() -> None:
    tracer, snapshot = run(lets_go_often, mostly_away, seconds=1.5)
    every, truth = snapshot.waited_ns / 1e9, retaken_from(tracer) / 1e9
    [one] = [row for row in snapshot.blame if row.function == "lets_go_often"]
    assert one.retaken_seconds / every == pytest.approx(truth / every, abs=bound(snapshot))
    assert all(0 <= row.retaken_seconds <= row.waited_seconds for row in snapshot.blame)
    _, snapshot = run(python_loop, python_loop)  # who is made to let go cannot take it back
    assert sum(row.retaken_seconds for row in snapshot.blame) < 0.2 * snapshot.waited_ns / 1e9


@pytest.mark.skipif(sys.version_info < (3, 11), reason="it keeps no native ids of threads")
def test_each_stack_has_its_thread_s_share_of_the_time_held() -> None:
    tracer, snapshot = run(c_code, python_loop)
    for thread in tracer.threads():
        found = sum(one.held_seconds for one in snapshot.stacks if one.thread == thread.name)
        exact = thread.held_ns / 1e9
        assert found / snapshot.held_seconds == pytest.approx(
            exact / snapshot.held_seconds, abs=bound(snapshot)
        )
    native = [one.thread for one in snapshot.stacks if one.native]
    assert "c_code" in native


def test_threads_that_ended_have_their_names() -> None:
    def begin_and_end(name: str) -> None:
        thread = threading.Thread(target=python_loop, args=(time.monotonic() + 0.2,), name=name)
        thread.start()
        thread.join()

    def running() -> set[str]:
        return {one.thread for one in tracer.snapshot().stacks}

    workers = {f"worker-{number}" for number in range(3)}
    with GilTracer(stacks=True) as tracer:
        for name in workers:
            work_until(lambda name=name: name in running(), lambda name=name: begin_and_end(name))
        assert workers <= running()
    stopped = {one.thread for one in tracer.snapshot().stacks}
    assert workers <= stopped and not any(name.startswith("thread ") for name in stopped)


def test_it_is_in_no_number_itself() -> None:
    tracer, snapshot = run(python_loop, seconds=0.2)
    assert {one.name for one in tracer.threads()} == {"MainThread", "python_loop"}
    assert not any(one.ours for one in tracer.threads())
    assert {holder.name for holder in snapshot.holders} <= {"MainThread", "python_loop"}


def test_it_subtracts_merges_pickles_and_goes_to_json() -> None:
    with GilTracer(stacks=True) as tracer:
        python_loop(time.monotonic() + 0.2)
        before = tracer.snapshot()
        work_until(lambda: leaves(tracer.snapshot() - before), lambda: hold_gil(0.3))
        after = tracer.snapshot()
    window = after - before
    assert sum(one.held_seconds for one in window.stacks) == pytest.approx(window.held_ns / 1e9)
    assert window.stacks[0].frames[-1].function == "hold_gil"
    twice = window + window
    assert twice.stacks[0].held_seconds == pytest.approx(2 * window.stacks[0].held_seconds)
    for again in (
        pickle.loads(pickle.dumps(after)),
        Snapshot.from_dict(json.loads(json.dumps(after.to_dict()))),
    ):
        assert again == after and again.stacks == after.stacks and again.blame == after.blame


def test_several_that_wait_at_once_go_to_json() -> None:
    _, snapshot = run(python_loop, python_loop, python_loop, seconds=1.0)
    assert any(waited > held for _, _, held, waited, *_ in snapshot._stacks or ())
    assert Snapshot.from_dict(snapshot.to_dict()) == snapshot
    # But our knocks wait one at a time.
    stored = snapshot.to_dict()
    stored |= dict.fromkeys(
        ("holds", "waited_ns", "thread_ns", "hold_max_ns", "wanted_releases", "retakes"), 0
    )
    stored |= {"method": "look", "hold_histogram": [], "passed_over_ns": 0}
    with pytest.raises(ValueError, match=r"stacks\.waited_ns"):
        Snapshot.from_dict(stored | {"knock_interval_ns": 1})


def test_a_reset_forgets_and_a_stop_keeps_them() -> None:
    tracer = GilTracer(stacks=True, interval_micros=500)
    with tracer:
        work_until(lambda: tracer.snapshot().stacks, lambda: python_loop(time.monotonic() + 0.1))
    stopped = tracer.snapshot()
    assert stopped.stacks and stopped.interval_ns == 500_000
    python_loop(time.monotonic() + 0.05)
    assert tracer.snapshot().stacks == stopped.stacks
    tracer.reset()
    assert tracer.snapshot().stacks == ()
    with tracer:
        work_until(lambda: leaves(tracer.snapshot()), lambda: hold_gil(0.1))
        assert tracer.snapshot().stacks[0].frames[-1].function == "hold_gil"


@pytest.mark.parametrize("value", [0, -1, "1", 1.5, True, 2**63])
def test_the_interval_is_checked_as_that_of_knock_knock(value: object) -> None:
    with pytest.raises((TypeError, ValueError)) as ours:
        GilTracer(stacks=True, interval_micros=value)  # type: ignore[arg-type]
    with pytest.raises(ours.type) as theirs:
        KnockKnock(interval_micros=value)  # type: ignore[arg-type]
    assert str(ours.value) == str(theirs.value)


def test_an_interval_needs_stacks() -> None:
    with pytest.raises(TypeError, match="interval_micros needs stacks=True"):
        GilTracer(interval_micros=1000)


def test_where_stacks_cannot_be_read_they_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "stack_problem", lambda: "it was tried")
    with pytest.raises(StacksUnsupported, match="stacks cannot be read here: it was tried"):
        GilTracer(stacks=True)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_it_goes_on_in_the_parent_of_a_fork_and_begins_anew_in_the_child() -> None:
    reader, writer = os.pipe()
    with GilTracer(stacks=True) as tracer:
        hold_gil(0.05)
        child = os.fork()
        if child == 0:
            told = [tracer.is_running, len(tracer.snapshot().stacks)]
            with tracer:
                with suppress(AssertionError):  # it is the parent that tells
                    work_until(lambda: tracer.snapshot().stacks, lambda: hold_gil(0.05))
                told.append(bool(tracer.snapshot().stacks))
            os.write(writer, json.dumps(told).encode())
            os._exit(0)
        os.waitpid(child, 0)
        before = tracer.snapshot().ticks_held
        work_until(lambda: tracer.snapshot().ticks_held > before + 30, lambda: hold_gil(0.05))
    os.close(writer)
    with os.fdopen(reader) as file:
        assert json.load(file) == [False, 0, True]
