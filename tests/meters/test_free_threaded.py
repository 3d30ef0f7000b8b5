"""On a free-threaded build of Python: without a GIL, with it, and when it comes on midway."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest
from needs import FREE_THREADED

pytestmark = pytest.mark.skipif(not FREE_THREADED, reason="this Python always has a GIL")

# A module of before free-threading: to import it brings the GIL back.
LEGACY = """
#include <Python.h>
static struct PyModuleDef legacy = {PyModuleDef_HEAD_INIT, "legacy", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_legacy(void) { return PyModule_Create(&legacy); }
"""
SPIN = """
import sys, time
from gilknocker import GilTracer, KnockKnock

def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def spin_until(condition):
    # The meter's threads may have no CPU for a while.
    deadline = time.monotonic() + 30
    spin(0.3)
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        spin(0.1)
"""


def run(program: str, *, cwd: Path, gil: str = "") -> None:
    """Run a program that checks itself, warnings as errors; `gil` "0" keeps it off for good."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SPIN + textwrap.dedent(program)],
        cwd=cwd,
        env=environment | ({"PYTHON_GIL": gil} if gil else {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def legacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the module `legacy`."""
    folder = tmp_path_factory.mktemp("legacy")
    source = folder / "legacy.c"
    source.write_text(LEGACY)
    target = folder / f"legacy{sysconfig.get_config_var('EXT_SUFFIX')}"
    include = sysconfig.get_path("include")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-I", include, source, "-o", target], check=True, timeout=300
    )
    return folder


def test_without_a_gil_nobody_has_it(tmp_path: Path) -> None:
    run(
        """
        with KnockKnock(500, knock_interval_micros=1000) as knocker:
            assert not sys._is_gil_enabled()
            spin_until(lambda: knocker.snapshot().ticks > 50 and knocker.snapshot().knocks > 20)
            seen = knocker.snapshot()
            assert knocker.contention_metric == 0.0
        assert seen.gil_enabled is False and seen.method == "look"
        assert seen.ticks == seen.ticks_disabled > 50
        assert seen.held_fraction is None and seen.held_fraction_interval is None
        # What a knock takes there is to attach to the interpreter.
        assert seen.knocks > 20 and seen.percentile(50) < 1e6
        assert "no GIL" in str(seen) and seen.holders == ()
        supported, reason = GilTracer.supported()
        assert not supported and "without a GIL" in reason
        import gilknocker.reports.card, gilknocker._load, gilknocker.testing
        assert not sys._is_gil_enabled()
        """,
        gil="0",
        cwd=tmp_path,
    )


def test_knocks_wait_while_the_world_is_stopped(tmp_path: Path) -> None:
    run(
        """
        import gc, threading
        heap = [[] for _ in range(500_000)]
        knocker = KnockKnock(500, knock_interval_micros=500)
        with knocker:
            for _ in range(5):  # once, but the knocker may have no CPU for as long
                shortest = 10**12
                for _ in range(10):
                    begin = time.perf_counter_ns()
                    gc.collect()
                    shortest = min(shortest, time.perf_counter_ns() - begin)
                seen = knocker.snapshot()
                # One that came in between may have waited for all of them, and still wait.
                longest = max(seen.wait_max_ns, seen.in_flight_ns)
                if longest > shortest / 20:
                    break
                knocker.reset_contention_metric()
        assert longest > shortest / 20, longest
        """,
        gil="0",
        cwd=tmp_path,
    )


def test_one_that_comes_back_counts_from_then_on(legacy: Path) -> None:
    run(
        """
        import warnings
        with KnockKnock(500) as knocker:
            spin_until(lambda: knocker.snapshot().ticks > 50)
            before = knocker.snapshot()
            warnings.simplefilter("ignore")
            import legacy
            assert sys._is_gil_enabled()
            spin_until(lambda: (knocker.snapshot() - before).ticks > 50)
            seen = knocker.snapshot()
        assert before.gil_enabled is False and before.held_fraction is None
        assert seen.gil_enabled == "mixed"
        assert 0 < before.ticks_disabled <= seen.ticks_disabled < seen.ticks
        # A share of the looks that found one: of all it would be a half.
        assert seen.held_fraction > 0.8, seen
        assert (seen - before).held_fraction > 0.8
        assert knocker.contention_metric > 0.8
        """,
        cwd=legacy,
    )


def test_with_a_gil_it_is_as_anywhere(tmp_path: Path) -> None:
    run(
        """
        with KnockKnock(500) as knocker, GilTracer() as tracer:
            spin(0.3)
            seen, traced = knocker.snapshot(), tracer.snapshot()
        assert seen.gil_enabled is True and seen.ticks_disabled == 0
        assert seen.held_fraction > 0.8 and traced.held_fraction > 0.8
        """,
        gil="1",
        cwd=tmp_path,
    )
