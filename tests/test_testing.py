"""The loads of known duty cycle; whether their own account is true is for test_oracle.py."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from needs import needs_gil

from gilknocker import _load
from gilknocker.testing import GilLoad, hold_gil, release_gil


@contextmanager
def thread_telling_the_time() -> Iterator[list[int]]:
    """Yield a list to which a Python thread appends the time, whenever it has the GIL."""
    times: list[int] = []
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            times.append(time.monotonic_ns())
            time.sleep(0.001)

    thread = threading.Thread(target=work)
    thread.start()
    while not times:
        time.sleep(0.001)
    try:
        yield times
    finally:
        done.set()
        thread.join()


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


@needs_gil
@pytest.mark.parametrize("sleep", [False, True])
def test_no_other_thread_runs_while_the_gil_is_held(sleep: bool) -> None:
    with thread_telling_the_time() as times:
        hold_gil(0.2, sleep=sleep)
        last = time.monotonic_ns()
    gaps = [later - earlier for earlier, later in pairwise([*times, last])]
    assert max(gaps) >= 0.2e9


@pytest.mark.parametrize("sleep", [False, True])
def test_other_threads_run_while_the_gil_is_released(sleep: bool) -> None:
    with thread_telling_the_time() as times:
        before = len(times)
        start = time.monotonic_ns()
        release_gil(1, sleep=sleep)  # the other may have no CPU for half of it
        assert time.monotonic_ns() - start >= 1e9
        # Of some 900 on a quiet machine; with the GIL held throughout it would be 1 or 2.
        assert len(times) - before >= 5


@pytest.mark.parametrize("function", [hold_gil, release_gil])
@pytest.mark.parametrize("seconds", [0, 0.0, 0.001, Fraction(1, 1000)])
def test_real_numbers_are_durations(function: Callable[..., None], seconds: float) -> None:
    start = time.monotonic_ns()
    function(seconds)
    assert time.monotonic_ns() - start >= seconds * 1e9


SECONDS = "a real number of seconds from 0 to 1e\\+06"


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (-1e-9, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (1e6 + 1, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        ("1", TypeError),
        (None, TypeError),
        (Decimal(1), TypeError),
        (1j, TypeError),
    ],
)
def test_other_values_are_not_durations(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^seconds must be {SECONDS}, not "):
        hold_gil(bad)
    with pytest.raises(error, match=f"^seconds must be {SECONDS}, not "):
        release_gil(bad)
    with pytest.raises(error, match=f"^hold_seconds must be {SECONDS}, not "):
        GilLoad(bad, 0)
    with pytest.raises(error, match=f"^free_seconds must be {SECONDS}, not "):
        GilLoad(0, bad)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"threads": 0}, ValueError, "threads must be an integer of at least 1, not 0"),
        ({"threads": -3}, ValueError, "threads must be an integer of at least 1, not -3"),
        ({"threads": 1.0}, TypeError, "threads must be an integer of at least 1, not 1.0"),
        ({"threads": True}, TypeError, "threads must be an integer of at least 1, not True"),
        ({"seed": "1"}, TypeError, "seed must be an integer, not '1'"),
        ({"seed": False}, TypeError, "seed must be an integer, not False"),
    ],
)
def test_bad_arguments_of_a_load(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        GilLoad(0.001, 0.001, **arguments)
    assert str(caught.value) == message


@needs_gil
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("sleep", [False, True])
def test_account_of_a_load(threads: int, sleep: bool) -> None:
    before = time.monotonic_ns()
    with GilLoad(0.002, 0.001, threads=threads, sleep=sleep) as load:
        time.sleep(0.05)
    after = time.monotonic_ns()
    assert before <= load.start_ns < load.end_ns <= after
    assert load.elapsed_seconds == pytest.approx((load.end_ns - load.start_ns) / 1e9)
    assert load.cycles >= threads
    # All of these are exact: no hold is shorter than asked, none overlaps another, and only the
    # last time without the GIL is cut short.
    assert load.held_seconds >= load.cycles * 0.002
    assert load.held_seconds <= load.elapsed_seconds
    assert load.elapsed_seconds * threads >= (load.held_seconds + (load.cycles - threads) * 0.001)
    assert load.duty_cycle == pytest.approx(load.held_seconds / load.elapsed_seconds)


def exponential_ns(mean_ns: int, seed: int) -> float:
    """Model the first draw after `seed`: splitmix64, its top 53 bits, inverted."""
    mask = 2**64 - 1
    z = (seed + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return -math.log1p(-((z ^ (z >> 31)) >> 11) / 2**53) * mean_ns


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 2**64 - 1])
def test_random_holds_are_exponential(seed: int) -> None:
    mean_ns = 200_000
    expected = exponential_ns(mean_ns, seed)
    load = _load.Load(mean_ns, 0, random=True)
    held = min(load.run(duration_ns=0, seed=seed)[2] for _ in range(30))
    assert expected - 1 <= held <= expected + 40_000  # one of thirty is not disturbed that much


def test_model_of_random_holds_is_exponential() -> None:
    draws = [exponential_ns(1000, seed) for seed in range(4000)]
    assert sum(draws) / 4000 == pytest.approx(1000, rel=0.08)  # five standard errors
    assert sum(draw > 1000 for draw in draws) / 4000 == pytest.approx(math.exp(-1), abs=0.04)


class FakeLoad:
    """Runs for no time, and remembers with which seeds."""

    seeds: list[int]

    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def stop(self) -> None: ...
    def run(self, *, seed: int) -> tuple[int, int, int, int]:
        self.seeds.append(seed)
        return 0, 1, 0, 1


@pytest.fixture
def fake_load(monkeypatch: pytest.MonkeyPatch) -> type[FakeLoad]:
    FakeLoad.seeds = []
    monkeypatch.setattr(_load, "Load", FakeLoad)
    return FakeLoad


def test_threads_draw_from_seeds_of_their_own(fake_load: type[FakeLoad]) -> None:
    with GilLoad(0, 0, random=True, threads=3, seed=-1):
        pass
    assert sorted(fake_load.seeds) == [0, 1, 2**64 - 1]


def test_duration_ends_a_load() -> None:
    started, ended, held, cycles = _load.Load(1_000_000, 1_000_000).run(duration_ns=10_000_000)
    assert ended - started >= 10_000_000
    assert held >= cycles * 1_000_000
    assert 1 <= cycles <= 5  # each takes 2 ms or more, and the last begins before 10 ms


@pytest.mark.parametrize("sleep", [False, True])
def test_leaving_cuts_short_the_time_without_the_gil(sleep: bool) -> None:
    with GilLoad(0.001, 1000, sleep=sleep) as load:
        time.sleep(0.01)
    assert load.elapsed_seconds < 100


def test_account_can_be_read_only_when_the_load_has_finished() -> None:
    load = GilLoad(0.001, 0.001)
    names = ["duty_cycle", "held_seconds", "elapsed_seconds", "cycles", "start_ns", "end_ns"]
    for name in names:
        with pytest.raises(RuntimeError, match=r"^this GilLoad has not finished"):
            getattr(load, name)
    with load, pytest.raises(RuntimeError, match=r"^this GilLoad has not finished"):
        _ = load.duty_cycle
    assert all(getattr(load, name) > 0 for name in names)


def test_entering_twice_is_refused_and_entering_again_starts_anew() -> None:
    load = GilLoad(0.001, 0.001)
    with load:
        with pytest.raises(RuntimeError, match=r"^this GilLoad is already running"):
            load.__enter__()
        time.sleep(0.01)
    first_end = load.end_ns
    with load:
        with pytest.raises(RuntimeError, match=r"^this GilLoad has not finished"):
            _ = load.end_ns
        time.sleep(0.01)
    assert load.start_ns > first_end


def test_body_that_raises() -> None:
    load = GilLoad(0.001, 0.001, threads=2)
    with pytest.raises(KeyError, match="the body"), load:
        raise KeyError("the body")
    assert load.cycles >= 2


def test_thread_that_cannot_start(
    monkeypatch: pytest.MonkeyPatch, fake_load: type[FakeLoad]
) -> None:
    load = GilLoad(0.001, 0.001, threads=3)
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_two)
        with pytest.raises(RuntimeError, match=r"^can't start new thread"):
            load.__enter__()
    assert [thread.is_alive() for thread in started] == [False, False]
    assert fake_load.seeds == []  # those that could be started did not begin
    with load:
        pass
    assert load.cycles == len(fake_load.seeds) == 3


def test_load_that_nobody_leaves_does_not_keep_the_interpreter() -> None:
    program = """
        from gilknocker.testing import GilLoad
        GilLoad(0.0001, 0.0001, threads=2).__enter__()
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
