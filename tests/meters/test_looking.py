"""The look: found and proven safely, right at its instant, and what stands in for it."""

from __future__ import annotations

import functools
import random
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

import numpy as np
import pytest
from idle import find_no_contention
from needs import needs_gil
from oracle import FREE, HELD_BY_OTHER, HELD_BY_OURS, Oracle
from own_threads import KNOCKER, stolen_ns, without_a_cpu_here_ns, without_a_cpu_ns
from waiting import wait_until

from gilknocker import KnockKnock, Snapshot, _core
from gilknocker.testing import GilLoad, hold_gil

SUPPORTED, REASON = Oracle.supported()
needs_oracle = pytest.mark.skipif(not SUPPORTED, reason=f"the oracle {REASON}")

# What _core.look_series says it saw, in the oracle's words.
STATES = {1: FREE, 2: HELD_BY_OTHER, 3: HELD_BY_OURS}


@contextmanager
def spinners(count: int) -> Iterator[None]:
    """Keep `count` threads busy in pure Python."""
    done: list[bool] = []

    def spin() -> None:
        while not done:
            pass

    threads = [threading.Thread(target=spin) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.append(True)
        for thread in threads:
            thread.join()


# ---- short windows ----------------------------------------------------------------------------


@needs_gil
def test_short_windows_have_looks_as_dense_as_polls_were_asked_for() -> None:
    # From a reset on the GIL is held throughout: nobody else may take it. But a reset may have to
    # let go for a lock, and this thread lose its CPU just then.
    switch = sys.getswitchinterval()
    sys.setswitchinterval(10)
    most = 0
    try:
        with KnockKnock(polling_interval_micros=1, method="look") as knocker:
            deadline = time.monotonic() + 60
            windows = 0
            # Of 20 or so: one at most, as they are 5 ms apart later.
            while windows < 60 or most < 4:  # the watcher may have no CPU for all of 60
                assert time.monotonic() < deadline, most
                windows += 1
                time.sleep(0.001)
                before = without_a_cpu_here_ns()
                knocker.reset_contention_metric()
                hold_gil(0.003)
                seen, metric, line = knocker.snapshot(), knocker.contention_metric, str(knocker)
                most = max(most, seen.ticks)
                if without_a_cpu_here_ns() - before > 10_000:
                    continue
                assert seen.ticks_held == seen.ticks
                assert metric == 1.0 or not seen.ticks
                assert "held 100.0 %" in line or "no look yet" in line
    finally:
        sys.setswitchinterval(switch)


@needs_gil
def test_the_metric_and_the_snapshot_weigh_looks_alike() -> None:
    with KnockKnock(polling_interval_micros=1, method="look") as knocker:
        wait_until(lambda: knocker.snapshot().ticks > 20)
        hold_gil(0.02)
    seen = knocker.snapshot()
    looks = seen.to_dict()["looks"]
    assert seen.ticks < looks["enabled"] < looks["squared"]
    assert seen.held_fraction == looks["held"] / looks["enabled"] == knocker.contention_metric
    assert Snapshot.from_dict(seen.to_dict()) == seen


# ---- the self-test ------------------------------------------------------------------------


def test_the_lock_word_was_found_and_proven() -> None:
    assert _core.look_problem() is None
    assert _core.probe_layout(0) is None
    assert KnockKnock(method="look").snapshot().method == "look"


def wrong_shifts() -> list[int]:
    """Return what offsets may be wrong by: near misses, misaligned, far, out of all bounds."""
    chance = random.Random(1)
    near = [*range(-4096, 0), *range(1, 4097)]
    far = [chance.choice((1, -1)) * chance.randrange(1, 1 << bits) for bits in range(13, 64)]
    edges = [2**63 - 1, -(2**63), 2**62, -(2**62), 2**47, -(2**47)]
    return near + far + edges


def test_every_wrong_layout_is_refused_with_a_reason() -> None:
    reasons = {shift: _core.probe_layout(shift) for shift in wrong_shifts()}
    assert [shift for shift, reason in reasons.items() if reason is None] == []
    # Not all for the first thing that may be wrong.
    assert len(set(reasons.values())) > 2


def test_wrong_layouts_are_refused_while_others_use_the_gil() -> None:
    shifts = random.Random(2).sample(range(8, 4096, 8), 100)
    with GilLoad(200e-6, 10e-6, threads=2), KnockKnock(100, knock_interval_micros=100):
        for shift in shifts:
            assert _core.probe_layout(shift) is not None
            assert _core.probe_layout(-shift) is not None
            if shift % 80 == 0:
                assert _core.probe_layout(0) is None


def test_the_layout_is_found_beside_spinners() -> None:
    with spinners(4):
        assert [_core.probe_layout(0) for _ in range(20)] == [None] * 20


def test_the_layout_is_found_at_import_into_a_busy_process() -> None:
    program = """
        import os, threading
        from gilknocker._load import Load, hold_gil
        def spin():
            while True:
                pass
        def hold():
            while True:
                hold_gil(0.003)
        for work in (spin, spin, hold, Load(20_000, 1_000).run):
            threading.Thread(target=work, daemon=True).start()
        from gilknocker import _core
        print(_core.look_problem(), flush=True)
        os._exit(0)  # threads that spin to the very end crash CPython 3.10 by themselves
    """
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "None\n", "")


# ---- looks, against the truth -------------------------------------------------------------


def agreement(held_micros: int, free_micros: int) -> tuple[int, int]:
    """Return how many looks agree with the oracle, and of how many with one right answer."""
    with (
        Oracle(log=1 << 21) as oracle,
        KnockKnock(1000, knock_interval_micros=500, method="look"),
        GilLoad(held_micros / 1e6, free_micros / 1e6),
    ):
        series = _core.look_series(10_000, 20_000)
        log = oracle.transitions()
    before, after, looks = np.frombuffer(series, np.int64).reshape(-1, 3).T
    changes, states = np.array(log.times), np.array(log.states)
    last = np.searchsorted(changes, before - 1_000, side="right") - 1
    sure = last == np.searchsorted(changes, after + 1_000, side="right") - 1
    # A change is logged late by an interrupt before the oracle's clock: the state that it ends was
    # logged for longer than usual then, and of a look into that nothing is known.
    lasted = np.diff(changes, append=np.iinfo(np.int64).max)
    for state in STATES.values():
        usual = np.median(lasted[states == state]) if (states == state).any() else 0
        sure &= (states[last] != state) | (lasted[last] <= usual + 2_000)
    seen = np.array([STATES[look] for look in looks.tolist()])
    assert {FREE, HELD_BY_OTHER} <= set(seen.tolist())  # else it would be no test
    return int((seen == states[last])[sure].sum()), int(sure.sum())


@needs_oracle
@pytest.mark.parametrize(("held", "free"), [(5, 5), (20, 5), (500, 500)])
def test_looks_agree_with_the_oracle(held: int, free: int) -> None:
    right = of = 0
    for _ in range(20):  # once, but on a busy machine few changes come when they should
        more_right, more = agreement(held, free)
        right, of = right + more_right, of + more
        if of > 1_000:
            break
    assert of > 1_000
    assert right >= 0.999 * of, (right, of)


@needs_gil
def test_own_holds_are_not_contention() -> None:
    knockers = [KnockKnock(100, knock_interval_micros=100, method="look") for _ in range(3)]
    with ExitStack() as running:
        for knocker in knockers:
            running.enter_context(knocker)
        find_no_contention(knockers, seconds=1, allowed=0.02)
        for knocker in knockers:
            wait_until(lambda knocker=knocker: knocker.snapshot().knocks > 500, 60, every=0.1)
        snapshots = [knocker.snapshot() for knocker in knockers]
    assert sum(seen.ticks_own for seen in snapshots) > 0
    for seen in snapshots:
        assert seen.ticks_held + seen.ticks_own <= seen.ticks


@needs_gil
def test_a_look_that_finds_a_knocker_says_so() -> None:
    with KnockKnock(10_000, knock_interval_micros=20):
        for _ in range(20):
            looks = [look for _, _, look in struct.iter_unpack("3q", _core.look_series(10_000, 1))]
            if 3 in looks:
                return
    pytest.fail("no look of 200,000 found a knocker")


@needs_gil
def test_a_knock_in_flight_is_visible() -> None:
    # The reader gets the GIL only when the holder lets go: then the knock may still wait.
    with KnockKnock(1_000, knock_interval_micros=1_000) as knocker, GilLoad(20e-3, 1e-6):
        until = time.monotonic() + 60
        while knocker.snapshot().in_flight_ns < 1_000_000:
            assert time.monotonic() < until


# ---- knocks in the place of looks -----------------------------------------------------------


@pytest.fixture
def no_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "Sampler", functools.partial(_core.Sampler, look=False))


def fraction_of(snapshot: Snapshot) -> float:
    assert snapshot.method == "knock"
    assert snapshot.held_fraction is not None
    return snapshot.held_fraction


@pytest.mark.usefixtures("no_looks")
def test_knocks_alone_in_an_idle_process() -> None:
    # In the median of windows: the host may take the CPU away while a knock is under way.
    apart, fractions = [], []
    with KnockKnock() as knocker:
        time.sleep(0.05)
        for _ in range(3):
            knocker.reset_contention_metric()
            late = without_a_cpu_ns(KNOCKER)
            time.sleep(0.6)
            wait_until(lambda: knocker.snapshot().knocks > 100, every=0.1)
            seen = knocker.snapshot()
            late = without_a_cpu_ns(KNOCKER) - late
            assert seen.gil_enabled is True
            # A knock that waited, be it for a slow machine, answers for the ticks that passed.
            apart.append(abs(seen.ticks - seen.knocks) / seen.knocks)
            # Where the machine is busy, it is not only the GIL that a knock waits for.
            fractions.append(fraction_of(seen) - late / seen.observed_ns)
    # One may be under way, and one may have been asked before the reset and answer for nothing.
    assert median(apart) < 0.1
    assert median(fractions) < 0.1


@needs_gil
@pytest.mark.usefixtures("no_looks")
def test_knocks_alone_while_the_gil_is_kept() -> None:
    with KnockKnock() as knocker:
        time.sleep(0.05)
        knocker.reset_contention_metric()
        hold_gil(1.5)  # also if the knocker has no CPU for the first half second
        metric = knocker.contention_metric  # the knock that waited may still wait
        seen = knocker.snapshot()
    assert metric > 0.9
    assert fraction_of(seen) > 0.9
    assert seen.ticks > 300


@needs_oracle
@pytest.mark.usefixtures("no_looks")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("of_0_4", [False, True])
def test_knocks_alone_beside_spinners(threads: int, of_0_4: bool) -> None:
    # On a busy machine the GIL is free until a spinner that was interrupted gets a CPU again.
    knocker = KnockKnock(polling_interval_micros=1_000) if of_0_4 else KnockKnock()
    with Oracle() as oracle, knocker, spinners(threads):  # which end before it stops
        time.sleep(0.05)
        knocker.reset_contention_metric()
        oracle.mark()
        time.sleep(0.8)
        truth = oracle.read().held_fraction
        seen = fraction_of(knocker.snapshot())
    assert seen > truth - 0.15
    assert truth > 0.2


def error_of_knocks_alone(sleep: bool) -> tuple[float, float, float]:
    """Return the truth, by how much it reads too high, and how long the knocker had no CPU."""
    with Oracle() as oracle, GilLoad(2e-3, 2e-3, sleep=sleep), KnockKnock() as knocker:
        time.sleep(0.05)
        knocker.reset_contention_metric()
        oracle.mark()
        late = without_a_cpu_ns(KNOCKER) + stolen_ns()
        time.sleep(0.8)
        truth = oracle.read().held_fraction
        snapshot = knocker.snapshot()
        late = without_a_cpu_ns(KNOCKER) + stolen_ns() - late
    return truth, fraction_of(snapshot) - truth, late / snapshot.observed_ns


@needs_oracle
@pytest.mark.usefixtures("no_looks")
@pytest.mark.parametrize("sleep", [False, True])
def test_knocks_alone_beside_a_load(sleep: bool) -> None:
    # A wait ends with our own wake-up: where others have the CPUs, this reads up to 0.3 high.
    windows: list[tuple[float, float, float]] = []
    while len(windows) < 3:  # of that load: it is another one where the process stands still
        windows += [one for one in [error_of_knocks_alone(sleep)] if 0.3 < one[0] < 0.8]
    assert median(error - late for _, error, late in windows) < 0.15, windows
    assert median(error for _, error, _ in windows) > -0.15, windows


@needs_gil
@pytest.mark.usefixtures("no_looks")
def test_counts_of_knocks_alone_only_grow() -> None:
    # Ticks under a knock that waits are provisional until it ends: never more than it then says.
    ticks = held = 0
    with KnockKnock(200) as knocker, GilLoad(3e-3, 3e-3):
        until = time.monotonic() + 1
        while time.monotonic() < until:
            seen = knocker.snapshot()
            assert seen.ticks >= ticks
            assert seen.ticks_held >= held
            ticks, held = seen.ticks, seen.ticks_held
    assert knocker.snapshot().ticks >= ticks
    assert held > 0
