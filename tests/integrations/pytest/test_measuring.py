"""What is measured of whose tests, and where the figures go."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from needs import needs_gil, needs_tracer
from pytest_runs import run, stored

from gilknocker.integrations.pytest.section import Record, ranked

pytest_plugins = ["pytester"]

# Longer than who looks and who knocks may have no CPU.
FORMS = """
    import asyncio, time, unittest
    import pytest
    from gilknocker.testing import hold_gil

    def test_busy():
        end = time.monotonic() + 0.8
        while time.monotonic() < end:
            pass

    def test_native():
        hold_gil(1, sleep=True)

    def test_idle():
        time.sleep(0.5)

    def test_nothing():
        pass

    def test_fails():
        hold_gil(0.8, sleep=True)
        assert 0

    @pytest.mark.xfail(strict=True)
    def test_xfails():
        hold_gil(0.8, sleep=True)
        assert 0

    def test_skips_itself():
        pytest.skip("no")

    @pytest.mark.skip
    def test_is_skipped():
        pass

    class TestUnit(unittest.TestCase):
        def test_method(self):
            hold_gil(0.8, sleep=True)

        def test_subtests(self):
            with self.subTest(n=1):
                hold_gil(0.8, sleep=True)

    class TestAsync(unittest.IsolatedAsyncioTestCase):
        async def test_coroutine(self):
            await asyncio.sleep(0.5)

    @pytest.fixture
    def slow():
        hold_gil(1, sleep=True)
        yield
        hold_gil(1, sleep=True)

    def test_after_a_slow_setup(slow):
        time.sleep(0.3)

    @pytest.mark.parametrize("letter", ["a", "\u00e9", "\U0001f40d"])
    def test_letters(letter):
        hold_gil(0.02, sleep=True)
"""


@needs_gil
def test_all_forms_of_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(FORMS)
    words = ("--gilknocker-method=knock", "--gilknocker-count=3", "--gilknocker-json=x.json")
    result = run(pytester, "--gilknocker", *words)
    found = stored(pytester.path / "x.json")

    def held(name: str) -> float:
        fraction = found[name]["held_fraction"]
        assert isinstance(fraction, float)
        return fraction

    assert held("test_busy") > 0.8
    assert held("test_native") > 0.8
    assert held("test_idle") < 0.3
    assert found["test_native"]["hold_max_ns"] > 0.1e9
    assert found["test_native"]["wait_max_ns"] > 0.1e9
    assert not found["test_native"]["hold_max_exact"]
    outcomes = {name: test["outcome"] for name, test in found.items()}
    assert outcomes["test_fails"] == "failed"
    assert outcomes["test_xfails"] == outcomes["test_skips_itself"] == "skipped"
    assert "test_is_skipped" not in outcomes
    assert held("test_fails") > 0.8 and held("test_xfails") > 0.8
    assert held("TestUnit::test_method") > 0.8 and held("TestUnit::test_subtests") > 0.8
    assert held("TestAsync::test_coroutine") < 0.5
    # Neither the hold of the set-up, nor a knock that was asked during it.
    assert found["test_after_a_slow_setup"]["body_ns"] < 0.9e9
    assert found["test_after_a_slow_setup"]["wait_max_ns"] < 0.9e9
    assert held("test_after_a_slow_setup") < 0.5
    letters = [name for name in outcomes if name.startswith("test_letters[")]
    assert len(letters) == 3
    assert len(found) == 14

    lines = result.outlines
    [start] = [n for n, line in enumerate(lines) if "= use of the GIL (gilknocker) =" in line]
    assert lines[start + 1].lstrip().startswith("held  longest hold  waits p50")
    rows = lines[start + 2 : start + 5]
    assert all("%" in row and float(row.split()[0]) > 80 for row in rows)
    assert lines[start + 5].startswith("14 tests, bodies of ")
    assert lines[start + 5].endswith("; method look")
    assert "more: --gilknocker-count=0 shows all" in lines[start + 6]
    assert "too short for their share" in lines[start + 7]
    assert lines[start + 8].startswith("~: ")


REPORT: Any = SimpleNamespace(outcome="passed")


def record(name: str, low: float, body_ms: float, looks: int | None = 100) -> Record:
    figures = {
        "held_fraction": low,
        "held_fraction_interval": [low, 1.0],
        "body_ns": round(body_ms * 1e6),
        "looks": looks,
    }
    return Record(name, REPORT, "", figures)


def test_order_by_share() -> None:
    records = [
        record("idle", 0.1, 1000),
        record("short", 1.0, 9.9),
        record("exact and short", 1.0, 9.9, looks=None),
        record("few looks", 1.0, 50, looks=39),
        record("all", 0.998, 100),
        record("half", 0.5, 1000),
        record("all, and longer", 0.996, 200),
        record("exact", 0.7, 10, looks=None),
        Record("no GIL", REPORT, "", {"held_fraction": None, "body_ns": 10**9, "looks": 0}),
    ]
    names = [record.nodeid for record in ranked(records, "held")]
    assert names == ["all, and longer", "all", "exact", "half", "idle"]


@needs_tracer
def test_a_mark_says_how_to_measure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.gil_knocker(method="knock")
        def test_knock(): pass

        @pytest.mark.gil_knocker(method="trace", interval_micros=100)
        def test_trace(): pass

        def test_auto(): pass
        """
    )
    run(pytester, "--gilknocker", "--gilknocker-json=x.json")
    methods = {name: test["method"] for name, test in stored(pytester.path / "x.json").items()}
    assert "trace" not in methods["test_knock"]
    assert methods["test_trace"] == "trace"
    assert methods["test_auto"].startswith("trace+")


@needs_tracer
@pytest.mark.parametrize("method", ["auto", "trace"])
def test_tracing(pytester: pytest.Pytester, method: str) -> None:
    pytester.makepyfile(FORMS)
    words = (f"--gilknocker-method={method}", "--gilknocker-json=x.json")
    run(pytester, "--gilknocker", *words, "-k", "native or idle or setup or nothing")
    found = stored(pytester.path / "x.json")
    for test in found.values():
        assert test["hold_max_exact"]
        assert test["looks"] is None
        assert test["method"].partition("+")[0] == "trace"
        low, high = test["held_fraction_interval"]
        assert low == test["held_fraction"] == high
    # It goes on until Python code looks at the clock again, and a bit further.
    assert 1e9 <= found["test_native"]["hold_max_ns"] <= found["test_native"]["body_ns"]
    assert found["test_native"]["held_fraction"] > 0.9
    assert found["test_idle"]["held_fraction"] < 0.5
    assert found["test_after_a_slow_setup"]["hold_max_ns"] < 0.9e9
    # Nobody waited but our knocks, of which one may still have waited when the body ended.
    native = found["test_native"]
    assert (native["waits"] > 0 or bool(native["wait_max_ns"])) == (method == "auto")


@needs_gil
@pytest.mark.parametrize(("sort", "first"), [("hold", "test_native"), ("wait", "test_native")])
def test_sorting(pytester: pytest.Pytester, sort: str, first: str) -> None:
    pytester.makepyfile(FORMS)
    words = (f"--gilknocker-sort={sort}", "--gilknocker-count=1", "--gilknocker-method=knock")
    result = run(pytester, "--gilknocker", *words, "-k", "native or idle or nothing")
    [row] = [line for line in result.outlines if "::" in line]
    assert row.endswith(f"::{first}")


def test_no_tests(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--gilknocker")
    result.stdout.fnmatch_lines(["*use of the GIL (gilknocker)*", "no test was measured"])
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


INERT = """
    import sys

    def pytest_unconfigure():
        ours = {name for name in sys.modules if name.partition(".")[0] == "gilknocker"}
        assert "numpy" not in sys.modules
        assert ours == {
            "gilknocker", "gilknocker.pytest_plugin", "gilknocker._checks",
            "gilknocker.integrations",
            "gilknocker.integrations.pytest", "gilknocker.integrations.pytest.options",
        }, ours
        print("all is well")
"""


@needs_gil
def test_unused_it_imports_nothing(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(INERT)
    pytester.makepyfile("import pytest\n@pytest.mark.skipif(False, reason='')\ndef test_it(): pass")
    result = run(pytester, "-W", "error", "--strict-markers", "-s", separately=True)
    assert result.ret == 0
    assert result.outlines[-1] == "all is well"


@needs_gil
def test_used_it_imports_no_numpy(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import sys\ndef pytest_unconfigure(): print('numpy' in sys.modules, 'all is well')"
    )
    pytester.makepyfile("def test_it(): pass")
    result = run(
        pytester, "--gilknocker", "--gilknocker-method=knock", "-s", "-W", "error", separately=True
    )
    assert result.ret == 0
    assert result.outlines[-1] == "False all is well"


def test_without_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(gil_knocker): pass")
    result = run(pytester, "-p", "no:gilknocker")
    result.stdout.fnmatch_lines(["*fixture 'gil_knocker' not found"])


def test_figures_are_not_in_junit_xml(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(record_property): record_property('theirs', 1)")
    run(pytester, "--gilknocker", "--gilknocker-method=knock", "--junit-xml=x.xml")
    xml = (pytester.path / "x.xml").read_text()
    assert "theirs" in xml
    assert "gilknocker" not in xml


def test_forks_and_dumps(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import faulthandler, os, sys, time

        def test_fork():
            child = os.fork()
            if not child:
                time.sleep(0.01)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0

        def test_dump(capfd):
            faulthandler.dump_traceback(all_threads=True)
            assert "test_dump" in capfd.readouterr().err

        def test_rest():
            time.sleep(0.02)
        """
    )
    result = run(pytester, "--gilknocker", "-W", "error", separately=True)
    result.assert_outcomes(passed=3)


@needs_gil
def test_stop_at_the_first_and_go_on_with_the_last_failed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil

        def test_good():
            pass

        @pytest.mark.limit_gil_hold("20 ms")
        def test_bad():
            hold_gil(1, sleep=True)

        def test_never():
            pass
        """
    )
    cache = ("-p", "cacheprovider")
    first = run(pytester, "-x", "--gilknocker", "--gilknocker-json=f.json", *cache)
    first.assert_outcomes(passed=1, failed=1)
    found = stored(pytester.path / "f.json")
    assert list(found) == ["test_good", "test_bad"]
    [limit] = found["test_bad"]["limits"]
    assert limit["state"] == "exceeded"
    assert limit["limit"] == 0.02e9 < limit["figure"]
    assert limit["message"].startswith("limit_gil_hold: the GIL was held for ")
    again = run(pytester, "--lf", "--gilknocker", *cache)
    again.assert_outcomes(failed=1, deselected=0)


def test_collecting_only_measures_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--gilknocker", "--gilknocker-json=x.json", "--collect-only")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*use of the GIL*")
    assert not (pytester.path / "x.json").exists()
