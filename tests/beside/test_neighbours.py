"""Beside other plugins, all of them installed: ``pip install '.[test,beside]'``; else skipped."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from pytest_runs import stored

for neighbour in (
    "anyio",
    "freezegun",
    "pytest_asyncio",
    "pytest_benchmark",
    "pytest_cov",
    "pytest_randomly",
    "pytest_rerunfailures",
    "pytest_retry",
    "pytest_run_parallel",
    "pytest_timeout",
    "time_machine",
    "xdist",
):
    pytest.importorskip(neighbour)

pytest_plugins = ["pytester"]

# Of the two that run a test again, which have one mark for it, this one.
RERUNS = ("-p", "no:pytest-retry")
MEASURED = (*RERUNS, "--gilknocker", "--gilknocker-json=figures.json")

# Longer than who looks may have no CPU.
MIXED = """
    import asyncio, faulthandler, itertools, time, unittest
    import anyio
    import pytest
    from gilknocker.testing import hold_gil

    tries = itertools.count()

    @pytest.mark.asyncio
    async def test_asyncio():
        hold_gil(1, sleep=True)
        await asyncio.sleep(1)

    @pytest.mark.anyio
    async def test_anyio():
        await anyio.sleep(1)

    class TestUnit(unittest.TestCase):
        def test_method(self):
            hold_gil(1, sleep=True)

    def test_benchmark(benchmark):
        benchmark.pedantic(hold_gil, args=(0.1,), rounds=10)

    @pytest.mark.flaky(reruns=2)
    @pytest.mark.limit_gil_hold("50 ms")
    def test_rerun():
        if next(tries) == 0:
            hold_gil(1, sleep=True)

    @pytest.mark.timeout(30)
    def test_timeout(gil_knocker):
        time.sleep(0.06)
        assert gil_knocker.is_running

    @pytest.mark.xfail(strict=True)
    @pytest.mark.limit_gil_contention(0.2)
    def test_xfail():
        hold_gil(1, sleep=True)

    def test_dump(capfd):
        faulthandler.dump_traceback(all_threads=True)
        assert "test_dump" in capfd.readouterr().err

    @pytest.fixture
    def anyio_backend():
        return "asyncio"
"""


def on_any_machine(pytester: pytest.Pytester) -> None:
    """Let limits be decided however busy this machine is."""
    pytester.makeconftest("from gilknocker.integrations.pytest import limits; limits.TOO_BUSY = 2")


def test_all_of_them_in_one_process(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MIXED)
    on_any_machine(pytester)
    result = pytester.runpytest_subprocess(
        *MEASURED,
        "--benchmark-json=benchmark.json",
        "--junit-xml=x.xml",
        timeout=300,
    )
    outcomes = result.parseoutcomes()
    assert outcomes == {"passed": 7, "xfailed": 1, "rerun": 1}
    found = stored(pytester.path / "figures.json")
    assert len(found) == 8
    assert 0.3 < found["test_asyncio"]["held_fraction"] < 0.8
    assert found["test_anyio"]["held_fraction"] < 0.4
    assert found["TestUnit::test_method"]["held_fraction"] > 0.8
    # That of the second run.
    assert found["test_rerun"]["outcome"] == "passed"
    assert [limit["state"] for limit in found["test_rerun"]["limits"]] == ["kept"]
    [benchmark] = json.loads((pytester.path / "benchmark.json").read_text())["benchmarks"]
    assert benchmark["extra_info"]["gilknocker"]["held_fraction"] > 0.5
    assert "gilknocker" not in (pytester.path / "x.xml").read_text()


def test_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(MIXED)
    on_any_machine(pytester)
    result = pytester.runpytest_subprocess(*MEASURED, "-n2", "--junit-xml=x.xml", "-q", timeout=300)
    result.assert_outcomes(passed=7, xfailed=1)
    result.stdout.fnmatch_lines(["*use of the GIL (gilknocker)*", "*8 tests, bodies of *"])
    found = stored(pytester.path / "figures.json")
    assert len(found) == 8
    assert {test["worker"] for test in found.values()} == {"gw0", "gw1"}
    assert "gilknocker" not in (pytester.path / "x.xml").read_text()


def test_stalls_in_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil

        @pytest.mark.parametrize("n", range(4))
        def test_it(n):
            hold_gil(2 if n % 2 else 0.001, sleep=True)
        """
    )
    # Any code may stall for shorter, where a machine has no CPU for it.
    words = ("--gilknocker-stalls=600ms", "--gilknocker-json=x.json", "-n2", "-q")
    result = pytester.runpytest_subprocess(*words, timeout=300)
    result.assert_outcomes(passed=4)
    stalls = json.loads((pytester.path / "x.json").read_text())["stalls"]
    assert {stall["nodeid"].partition("::")[2] for stall in stalls} == {"test_it[1]", "test_it[3]"}
    assert {stall["worker"] for stall in stalls} <= {"gw0", "gw1"}
    result.stdout.fnmatch_lines(["Stalls: *, 2 times:"])


def test_limits_in_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil

        @pytest.mark.limit_gil_hold("20 ms")
        def test_exceeds():
            hold_gil(1, sleep=True)

        @pytest.mark.limit_gil_contention(0.5)
        def test_too_short():
            pass
        """
    )
    on_any_machine(pytester)
    result = pytester.runpytest_subprocess(*RERUNS, "-n2", "--junit-xml=x.xml", timeout=300)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "limit_gil_hold: the GIL was held for *",
            "Limits that could not be decided:",
            "  *::test_too_short: limit_gil_contention: *",
        ]
    )
    assert 'name="gilknocker"' not in (pytester.path / "x.xml").read_text()


def test_bad_mark_in_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.limit_gil_hold(5)\ndef test_not_run(): print('ran')"
    )
    result = pytester.runpytest_subprocess("-n1", "-rP", timeout=300)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*mark limit_gil_hold: limit must be a duration greater than 0 *"])
    result.stdout.no_fnmatch_line("ran")


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "pytest", "--cov=mine", "--cov-report=term"],
        ["-m", "coverage", "run", "--source=mine", "-m", "pytest"],
    ],
    ids=["pytest-cov", "coverage"],
)
def test_coverage(pytester: pytest.Pytester, command: list[str]) -> None:
    pytester.makepyfile(
        mine="def f():\n    return 1\n",
        test_it="import mine\ndef test_it(gil_knocker): assert mine.f() == 1\n",
    )
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    done = subprocess.run(
        [sys.executable, *command, "-W", "error", *MEASURED],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "use of the GIL" in done.stdout
    if "coverage" in command:
        done = subprocess.run(
            [sys.executable, "-m", "coverage", "report"],
            cwd=pytester.path,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
    [line] = [line for line in done.stdout.splitlines() if line.startswith("mine.py")]
    assert line.split()[-1] == "100%"


def test_all_threads_at_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        from gilknocker.testing import hold_gil, release_gil

        def test_native():
            hold_gil(0.6, sleep=True)

        def test_polite():
            release_gil(0.6)
        """
    )
    result = pytester.runpytest_subprocess(*MEASURED, "--parallel-threads=2", timeout=300)
    result.assert_outcomes(passed=2)
    found = stored(pytester.path / "figures.json")
    assert found["test_native"]["body_ns"] >= 1.2e9  # one after the other
    assert found["test_native"]["held_fraction"] > 0.8
    assert found["test_polite"]["held_fraction"] < 0.5


FLAKY = """
    import itertools, pytest
    from gilknocker.testing import hold_gil

    tries = itertools.count()

    @pytest.mark.limit_gil_hold("50 ms")
    def test_it():
        if next(tries) == 0:
            hold_gil(1, sleep=True)
            assert 0

    def test_other():
        pass
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)], ids=["one process", "workers"])
@pytest.mark.parametrize(
    "again",
    [("-p", "no:rerunfailures", "--retries", "2"), (*RERUNS, "--reruns", "2")],
    ids=["pytest-retry", "pytest-rerunfailures"],
)
def test_the_last_run_counts(
    pytester: pytest.Pytester, again: tuple[str, ...], workers: tuple[str, ...]
) -> None:
    """pytest-retry logs the report of the first run, changes it, and logs it once more."""
    pytester.makepyfile(FLAKY)
    words = ("--gilknocker", "--gilknocker-json=figures.json", "--junit-xml=x.xml")
    pytester.runpytest_subprocess(*words, *again, *workers, timeout=300)
    found = stored(pytester.path / "figures.json")
    assert {name: test["outcome"] for name, test in found.items()} == {
        "test_it": "passed",
        "test_other": "passed",
    }
    assert [limit["state"] for limit in found["test_it"]["limits"]] == ["kept"]
    assert found["test_it"]["body_ns"] < 1e9
    assert "gilknocker" not in (pytester.path / "x.xml").read_text()


@pytest.mark.skipif(
    int(pytest.__version__.partition(".")[0]) < 9, reason="pytest 8 has no subtests"
)
def test_subtests(pytester: pytest.Pytester) -> None:
    """A test that passed becomes one that failed when all its subtests are known."""
    pytester.makepyfile(
        """
        def test_some(subtests):
            for number in range(3):
                with subtests.test(number=number):
                    assert number != 1
        """
    )
    pytester.runpytest_subprocess(*MEASURED, timeout=300)
    assert stored(pytester.path / "figures.json")["test_some"]["outcome"] == "failed"


def test_clocks_that_stand_still(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import threading, time
        import freezegun, pytest, time_machine
        from gilknocker.testing import hold_gil

        @pytest.fixture
        def frozen():
            with freezegun.freeze_time("2000-01-01"):
                yield

        @pytest.fixture
        def still():
            with time_machine.travel(0, tick=False):
                yield

        @pytest.mark.parametrize("clock", ["frozen", "still"])
        @pytest.mark.limit_gil_hold("20 s")
        def test_it(request, clock, gil_tracer):
            request.getfixturevalue(clock)
            thread = threading.Thread(target=hold_gil, args=(0.1,), kwargs={"sleep": True},
                                      name="packer")
            thread.start()
            thread.join()
            assert "packer" in [thread.name for thread in gil_tracer.threads()]
        """
    )
    result = pytester.runpytest_subprocess(*MEASURED, timeout=300)
    result.assert_outcomes(passed=2)
    for test in stored(pytester.path / "figures.json").values():
        assert test["body_ns"] > 0.1e9
        assert test["hold_max_ns"] > 0.1e9
