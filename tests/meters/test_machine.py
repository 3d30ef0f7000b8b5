"""Knockers and tracers used in any order, from two threads, beside a model that cannot be wrong.

The model knows of each only whether it runs, and the shortest and longest time for which it can
have run since its numbers began, from clocks read around each call.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from needs import CAN_TRACE

from gilknocker import GilTracer, KnockKnock, Snapshot
from gilknocker.meters.bare_thread import BareThread

MOST_TRACERS = 4
# What one may do, and whether it runs after that; None leaves it as it is.
OUTCOMES: dict[str, bool | None] = {"start": True, "stop": False, "reset": None, "snapshot": None}
# What two threads may do at once: also to fork, and to drop another one that runs.
at_once = st.sampled_from([*sorted(OUTCOMES), "fork", "drop"])
pairs = st.tuples(at_once, at_once)


class Modelled:
    """One knocker or tracer and what must be true of it."""

    def __init__(self, subject: Any) -> None:
        self.subject = subject
        self.running = False
        self.least = self.most = 0  # ns that it has run, up to the last change
        self.since = (0, 0)  # up to where `most` and `least` have counted, if it runs
        self.last: Snapshot | None = None  # since the reset, and before no pair of calls

    def do(self, name: str) -> None:
        """Call it, and do the same in the model."""
        before = time.monotonic_ns()
        call(self.subject, name)
        after = time.monotonic_ns()
        if self.running:
            self.most += after - self.since[0]
            self.least += before - self.since[1]
            self.since = (after, before)
        if name == "reset":
            self.least, self.most, self.last = 0, 0, None
        if name == "reset" or (name == "start" and not self.running):
            self.since = (before, after)
        self.running = {"start": True, "stop": False}.get(name, self.running)

    def do_at_once(self, names: tuple[str, str]) -> None:
        """Call two things in two threads: the order is theirs."""
        before = time.monotonic_ns()
        failures: list[BaseException] = []

        def other() -> None:
            try:
                call(self.subject, names[1])
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=other)
        thread.start()
        call(self.subject, names[0])
        thread.join()
        assert failures == []
        after = time.monotonic_ns()
        possible = {after_both(names, self.running), after_both(names[::-1], self.running)}
        if self.running:
            self.most += before - self.since[0]
            self.least += max(before - self.since[1], 0)
        self.most += after - before
        if "reset" in names:
            self.least = 0
        self.last = None
        self.running = self.subject.is_running
        self.since = (after, after)
        assert self.running in possible

    def look(self) -> None:
        """Compare a snapshot with the model, and with the one before."""
        before = time.monotonic_ns()
        seen = self.subject.snapshot(waits=True)
        after = time.monotonic_ns()
        most = self.most + (after - self.since[0] if self.running else 0)
        least = self.least + (before - self.since[1] if self.running else 0)
        assert 0 <= seen.observed_ns <= most
        if seen.method == "trace":
            assert seen.observed_ns >= least
            assert seen.held_ns <= seen.observed_ns
        else:
            assert seen.ticks_held + seen.ticks_own + seen.ticks_disabled <= seen.ticks
            assert len(seen.wait_times) + seen.waits_dropped == seen.knocks
        assert seen.pid == os.getpid()
        assert_kept(seen)
        if self.last is not None:
            assert seen.epoch == self.last.epoch
            between = seen - self.last
            assert between.observed_ns == seen.observed_ns - self.last.observed_ns
            assert between.knocks >= 0
            assert between.ticks >= 0
            assert_kept(between)
            assert_kept(between + seen)
        self.last = seen


def assert_kept(seen: Snapshot) -> None:
    """What we write we read again: from_dict() checks that all the sums agree."""
    for waits in (False, True):
        assert Snapshot.from_dict(seen.to_dict(waits=waits)).to_dict(waits=waits) == seen.to_dict(
            waits=waits
        )


def call(subject: Any, name: str) -> None:
    if name == "fork":
        assert child_status(lambda: not subject.is_running) == 0
        return
    if name == "drop":
        KnockKnock(50, knock_interval_micros=50).start()
        return
    if name == "reset" and isinstance(subject, KnockKnock):
        name = "reset_contention_metric"
    getattr(subject, name)()


def after_both(names: tuple[str, ...], running: bool) -> bool:
    for name in names:
        outcome = OUTCOMES.get(name)
        running = running if outcome is None else outcome
    return running


def child_status(check: Callable[[], bool]) -> int:
    """Fork, and say how the child ended: 0 if `check` was true there."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if check() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class Machine(RuleBasedStateMachine):
    """All of them in one process."""

    all = Bundle("all")

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Modelled] = []

    @initialize(target=all)
    def begin_with_some(self) -> Any:
        """Several that run: a fork is for all of them."""
        for _ in range(3):
            self.models.append(Modelled(KnockKnock(100, knock_interval_micros=100)))
            self.models[-1].do("start")
        return multiple(*self.models)

    @rule(target=all, interval=st.sampled_from([20, 100, 1000]))
    def make_knocker(self, interval: int) -> Modelled:
        """One more knocker."""
        self.models.append(Modelled(KnockKnock(interval, knock_interval_micros=interval)))
        return self.models[-1]

    @precondition(lambda self: CAN_TRACE and self.tracers() < MOST_TRACERS)
    @rule(target=all)
    def make_tracer(self) -> Modelled:
        """One more tracer."""
        self.models.append(Modelled(GilTracer(100)))
        return self.models[-1]

    def tracers(self) -> int:
        """How many there are."""
        return sum(isinstance(one.subject, GilTracer) for one in self.models)

    @rule(one=all, name=st.sampled_from(sorted(OUTCOMES)))
    def do(self, one: Modelled, name: str) -> None:
        """One call."""
        one.do(name)

    @rule(one=all, names=pairs)
    def do_at_once(self, one: Modelled, names: tuple[str, str]) -> None:
        """Two calls."""
        one.do_at_once(names)

    @rule(one=all)
    def look(self, one: Modelled) -> None:
        """Read it."""
        one.look()

    @rule(one=consumes(all), in_a_cycle=st.booleans())
    def drop(self, one: Modelled, in_a_cycle: bool) -> None:
        """Leave it as it is, running or not."""
        self.models.remove(one)
        if in_a_cycle:
            cycle = [one.subject]
            cycle.append(cycle)
            del cycle  # or the collector would find it in use
        one.subject = None
        gc.collect()

    @rule(start=st.booleans())
    def fork(self, start: bool) -> None:
        """In the child they have never run, and can."""
        models = self.models

        def check() -> bool:
            fresh = all_fresh(models)
            if start:
                for one in models:
                    one.subject.start()
                    fresh = fresh and one.subject.is_running
            return fresh

        assert child_status(check) == 0

    @rule()
    def wait(self) -> None:
        """Let them measure."""
        time.sleep(0.001)

    @rule()
    def contend(self) -> None:
        """A thread of the program's and one of ours, as the status line's, wait for the GIL."""
        ended = threading.Event()
        subjects = [one.subject for one in self.models]

        def ours() -> None:
            for subject in subjects:
                subject.snapshot()
                time.sleep(0)

        spinning, thread = threading.Thread(target=spin_until, args=(ended,)), BareThread()
        spinning.start()
        try:
            thread.start(ours)
            assert thread.wait(60_000_000_000)
        finally:
            ended.set()
            spinning.join()

    @invariant()
    def they_run_or_not(self) -> None:
        """As the model says."""
        assert [one.subject.is_running for one in self.models] == [
            one.running for one in self.models
        ]

    def teardown(self) -> None:
        """Stop the rest."""
        for one in self.models:
            one.do("stop")
            one.look()
            one.subject = None


def all_fresh(models: list[Modelled]) -> bool:
    for one in models:
        seen = one.subject.snapshot()
        if one.subject.is_running or seen.observed_ns or seen.knocks or seen.pid != os.getpid():
            return False
    return True


def spin_until(ended: threading.Event) -> None:
    while not ended.is_set():
        pass


# The other thread of do_at_once() is there, or was joined and is still about to leave.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_any_order_of_calls() -> None:
    run_state_machine_as_test(Machine, settings=settings(max_examples=40, stateful_step_count=30))
