"""KnockKnock over a core that only notes what it is told, and the package around it."""

from __future__ import annotations

import inspect
import subprocess
import sys
import types
import warnings
import weakref
from typing import Any

import numpy as np
import pytest

import gilknocker
from gilknocker import KnockKnock
from gilknocker.meters import knock_knock
from gilknocker.meters.arguments import CONTENDED_AFTER_NS
from gilknocker.meters.lifecycle import Lifecycle
from gilknocker.snapshot.raw_waits import StoredWaits

COUNTS = {
    "sampler_id": 7,
    "epoch": 0,
    "pid": 42,
    "start_ns": 0,
    "end_ns": 10**9,
    "start_unix_ns": 0,
    "end_unix_ns": 10**9,
    "observed_ns": 10**9,
    "held_ns": 250_000_000,
    "counted_ns": 0,
    "ticks": 4,
    "ticks_held": 1,
    "ticks_own": 0,
    "ticks_late": 0,
    "ticks_missed": 0,
    "ticks_disabled": 0,
    "knocks": 0,
    "knocks_missed": 0,
    "knock_observed_ns": 0,
    "wait_total_ns": 0,
    "wait_max_ns": 0,
    "floor_ns": -1,
    "in_flight_ns": 0,
    "cpu_ns": 0,
    "slice_active": False,
}


class FakeSampler:
    """Says what it was told to say; a stuck knock when `stuck`."""

    method = "look"
    reason = None
    stuck = False

    def __init__(self, interval_ns: int, knock_interval_ns: int, **plan: int) -> None:
        self.plan = {"interval_ns": interval_ns, "knock_interval_ns": knock_interval_ns, **plan}
        self.is_running = False
        self.calls: list[Any] = []
        self.counts = dict(COUNTS)

    def start(self) -> None:
        self.calls.append("start")
        self.is_running = True

    def stop(self, timeout_ns: int) -> bool:
        self.calls.append(("stop", timeout_ns))
        self.is_running = False
        return not self.stuck

    def held_fraction(self) -> float:
        return 0.25

    def reset(self) -> None:
        self.calls.append("reset")

    def waits(self) -> StoredWaits:
        return StoredWaits.from_lists(0, [3, 1], [10, 20])

    def read(
        self, waits: bool
    ) -> tuple[dict[str, int], bytes, StoredWaits | None, list[tuple[int, int, int, str, int]]]:
        return self.counts, b"", StoredWaits.from_lists(0, [], []) if waits else None, []


@pytest.fixture(autouse=True)
def fake_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knock_knock, "_core", types.SimpleNamespace(Sampler=FakeSampler))
    monkeypatch.setattr(knock_knock, "PROCESS", Lifecycle())


def sampler_of(knocker: KnockKnock) -> Any:
    return knocker._sampler


def test_the_core_is_told_what_was_settled() -> None:
    knocker = KnockKnock(polling_interval_micros=2000, interval_micros=np.int32(300))
    assert sampler_of(knocker).plan == {
        "interval_ns": 300_000,
        "knock_interval_ns": 2_000_000,
        "knocks_per_burst": 10,
        "burst_rest_ns": 380_000_000,
        "late_after_ns": 50_000,
        "contended_after_ns": CONTENDED_AFTER_NS,
        "log_capacity": 1 << 20,
        "dense_start": 0,
        "stacks": False,
        "count": True,
        "budget": 0.01,
    }
    assert sampler_of(knocker).calls == []
    assert (knocker.interval_micros, knocker.knock_interval_micros) == (300, 2000)
    assert knocker.timeout_secs == 1.0


def test_starting_and_stopping() -> None:
    knocker = KnockKnock(timeout_secs=0.5)
    assert knocker.is_running is False
    knocker.start()
    assert knocker.is_running is True
    knocker.stop()
    knocker.stop()
    assert knocker.is_running is False
    assert sampler_of(knocker).calls == ["start", ("stop", 500_000_000), ("stop", 500_000_000)]


def test_with_runs_it_around_the_block_and_hides_no_exception() -> None:
    with pytest.raises(ZeroDivisionError), KnockKnock() as knocker:
        assert knocker.is_running
        _ = 1 / 0
    assert not knocker.is_running


def test_a_stuck_knock_is_a_warning_to_the_caller_and_stops_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeSampler, "stuck", True)
    knocker = KnockKnock(timeout_micros=2500)
    knocker.start()
    with pytest.warns(RuntimeWarning, match=r"still waiting for the GIL 2.5 ms after") as caught:
        knocker.stop()
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert [(w.filename, w.lineno) for w in caught] == [(__file__, line)]
    assert not knocker.is_running
    with pytest.warns(RuntimeWarning) as caught, KnockKnock() as knocker:
        pass
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        knocker.start()
        with pytest.raises(RuntimeWarning):
            knocker.stop()
    assert not knocker.is_running


def test_a_finished_process_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Lifecycle()
    monkeypatch.setattr(knock_knock, "PROCESS", process)
    knocker = KnockKnock()
    process.at_exit()
    with pytest.raises(RuntimeError, match="the interpreter is exiting"):
        knocker.start()
    knocker.stop()


def test_the_metric_and_the_waits_are_the_cores() -> None:
    knocker = KnockKnock()
    assert knocker.contention_metric == 0.25
    knocker.reset_contention_metric()
    assert sampler_of(knocker).calls == ["reset"]
    for array, values in ((knocker.wait_times, [3, 1]), (knocker.knock_times, [10, 20])):
        assert array.dtype == np.int64
        assert array.tolist() == values
        assert not array.flags.writeable


def test_a_snapshot_has_the_cores_counts_and_what_only_python_knows() -> None:
    knocker = KnockKnock(2000)
    snapshot = knocker.snapshot()
    assert snapshot.held_fraction == 0.25
    assert (snapshot.interval_ns, snapshot.knock_interval_ns) == (2_000_000, 20_000_000)
    assert snapshot.switch_interval_ns == round(sys.getswitchinterval() * 1e9)
    assert (snapshot.method, snapshot.floor_ns) == ("look", None)
    assert not hasattr(snapshot, "wait_times")
    assert knocker.snapshot(waits=True).wait_times.tolist() == []


@pytest.mark.parametrize("enabled", [True, False])
def test_without_looks_the_interpreter_says_whether_there_is_a_gil(
    monkeypatch: pytest.MonkeyPatch, enabled: bool
) -> None:
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: enabled, raising=False)
    knocker = KnockKnock()
    sampler_of(knocker).counts |= {"ticks": 0, "ticks_held": 0}
    assert knocker.snapshot().gil_enabled is enabled


def test_it_is_one_line_that_a_person_reads() -> None:
    knocker = KnockKnock()
    assert repr(knocker) == (
        "<KnockKnock stopped, held 25.0 %; looks every 1.0 ms, knocks every 10 ms>"
    )
    with KnockKnock(polling_interval_micros=1000) as knocker:
        assert str(knocker) == (
            "running, held 25.0 %; looks every 5.0 ms, "
            "knocks every 1.0 ms in bursts of 10, 190 ms apart"
        )


def test_its_line_tells_no_look_yet_from_never_held() -> None:
    for counts, line in (
        ({"ticks": 0, "ticks_held": 0}, "stopped, no look yet; "),
        ({"ticks_held": 0}, "stopped, held 0.0 %; "),
        ({"ticks_held": 0, "ticks_disabled": 4}, "stopped, no GIL; "),
    ):
        knocker = KnockKnock()
        sampler_of(knocker).counts |= counts
        assert str(knocker).startswith(line)


def test_it_can_be_referred_to_weakly() -> None:
    knocker = KnockKnock()
    reference = weakref.ref(knocker)
    knocker.start()
    del knocker
    assert reference() is None


# The package


def run(code: str) -> str:
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout


def test_importing_the_package_loads_nothing_else() -> None:
    assert (
        run(
            "import sys; before = set(sys.modules); import gilknocker; gilknocker.__version__;"
            "print(*(set(sys.modules) - before))"
        )
        == "gilknocker\n"
    )


def test_measuring_needs_no_numpy() -> None:
    assert (
        run(
            "import gilknocker, sys\n"
            "with gilknocker.KnockKnock() as k: pass\n"
            "str(k), str(k.snapshot() + k.snapshot()), k.snapshot().to_dict()\n"
            "print(*({'numpy', 'typing', 'dataclasses', 'json'} & set(sys.modules)))"
        )
        == "\n"
    )


def test_one_that_does_not_run_needs_little_and_a_start_loads_what_a_snapshot_needs() -> None:
    loaded = run(
        "import sys; before = set(sys.modules)\n"
        "def new():\n"
        "    names = set(sys.modules) - before; before.update(names); return sorted(names)\n"
        "from gilknocker import KnockKnock; knocker = KnockKnock(polling_interval_micros=1000)\n"
        "print(*(name for name in new() if name.startswith(('gilknocker', '__future__'))))\n"
        "knocker.start(); new()\n"
        "knocker.snapshot(); knocker.contention_metric; knocker.method_reason; knocker.stop()\n"
        "print(*new())"
    )
    assert loaded.splitlines() == [
        "gilknocker gilknocker._core gilknocker.meters "
        "gilknocker.meters.arguments gilknocker.meters.knock_knock",
        "",
    ]


def test_one_that_never_ran_can_be_asked_for_anything() -> None:
    said = run(
        "from gilknocker import KnockKnock; knocker = KnockKnock()\n"
        "print(knocker.is_running, knocker.contention_metric, knocker.snapshot().knocks, knocker)\n"
        "knocker.stop(); knocker.reset_contention_metric()"
    )
    assert said.startswith("False 0.0 0 stopped, no look yet; ")


def test_the_plugin_loads_nothing_of_ours() -> None:
    assert (
        run(
            "import sys, pytest; before = set(sys.modules); import gilknocker.pytest_plugin;"
            "print(*sorted(set(sys.modules) - before))"
        )
        == "gilknocker gilknocker.pytest_plugin\n"
    )


def test_pytest_does_not_rewrite_the_package() -> None:
    from gilknocker import pytest_plugin

    for module in (gilknocker, pytest_plugin):
        assert "PYTEST_DONT_REWRITE" in (module.__doc__ or "")


def test_what_the_package_exports() -> None:
    assert set(gilknocker.__all__) <= set(dir(gilknocker))
    for name in gilknocker.__all__:
        assert getattr(gilknocker, name)
    with pytest.raises(AttributeError, match="module 'gilknocker' has no attribute 'Knock'"):
        _ = gilknocker.Knock  # type: ignore[attr-defined]


def test_the_fixture_runs_while_the_test_does(gil_knocker: KnockKnock) -> None:
    assert gil_knocker.is_running
    assert "start" in sampler_of(gil_knocker).calls
