"""What belongs to the tests of others is never taken for ours: properties, keys, reports."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from needs import needs_gil
from pytest_runs import run, stored

from gilknocker.integrations.pytest.figures import PROPERTY, attach, forget, hidden, is_figures, of

pytest_plugins = ["pytester"]

THEIRS = """
    import pytest

    @pytest.mark.parametrize("value", ["1.0.0", "1", "null", "{}", 1, None])
    def test_theirs(record_property, value):
        record_property("gilknocker", value)

    @pytest.mark.limit_gil_hold("20 s")
    def test_limited(record_property):
        record_property("gilknocker", "mine")
"""


@needs_gil
@pytest.mark.parametrize("words", [(), ("--gilknocker",), ("--gilknocker", "-n2")])
def test_a_property_named_as_we_are_stays_its_owners(
    pytester: pytest.Pytester, words: tuple[str, ...]
) -> None:
    if "-n2" in words:
        pytest.importorskip("xdist")
    pytester.makepyfile(THEIRS)
    words = (*words, "--junit-xml=x.xml")
    if "--gilknocker" in words:
        words = (*words, "--gilknocker-json=x.json")
    result = run(pytester, *words, separately=True)
    result.assert_outcomes(passed=7)
    xml = (pytester.path / "x.xml").read_text()
    assert xml.count('name="gilknocker"') == 7
    assert '<property name="gilknocker" value="mine"' in xml
    assert PROPERTY not in xml
    if "--gilknocker" in words:
        found = stored(pytester.path / "x.json")
        assert len(found) == 7
        assert all(test["waits"] >= 0 for test in found.values())


@needs_gil
@pytest.mark.parametrize("words", [(), ("--gilknocker",)])
def test_what_has_our_key_and_is_not_ours_stays_too(
    pytester: pytest.Pytester, words: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        VALUES = ["1.0.0", "1", '{{"limits": []}}', "[" * 100_000, b"1", 1]

        @pytest.mark.parametrize("value", VALUES)
        @pytest.mark.limit_gil_hold("20 s")
        def test_theirs(record_property, value):
            record_property("{PROPERTY}", value)
        """
    )
    result = run(pytester, *words, "--junit-xml=x.xml", separately=True)
    result.assert_outcomes(passed=6)
    assert (pytester.path / "x.xml").read_text().count(f'name="{PROPERTY}"') == 6


@needs_gil
def test_reports_of_another_kind_end_no_run(pytester: pytest.Pytester) -> None:
    """What other plugins log need not have properties, nor pairs of them, nor a list."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item, call):
            report = (yield).get_result()
            if call.when == "setup":
                del report.user_properties
            elif call.when == "call":
                report.user_properties += [("one", 1, 1), "x", None, (["list"], 1)]
            else:
                report.user_properties = ()
        """
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.limit_gil_hold("20 s")
        def test_it():
            pass
        """
    )
    result = run(pytester, "--gilknocker", "--gilknocker-json=x.json", separately=True)
    assert result.ret == 0, result.stdout.str()
    assert list(stored(pytester.path / "x.json")) == ["test_it"]


@needs_gil
def test_what_goes_wrong_in_the_section_or_the_file_ends_no_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from gilknocker.integrations.pytest import session

        def fail(*args, **kwargs):
            raise KeyError("theirs")

        session.write_section = session.write_json = session.figures_in = fail
        """
    )
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--gilknocker", "--gilknocker-json=x.json", separately=True)
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["gilknocker: error: *KeyError('theirs')*"])


@needs_gil
def test_a_worker_that_is_none_of_xdist_ends_no_run(pytester: pytest.Pytester) -> None:
    """Other runners give their processes a `workerinput`, too, and no `workeroutput`."""
    pytester.makeconftest(
        """
        def pytest_configure(config):
            config.workerinput = {"workerid": "theirs"}
        """
    )
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--gilknocker", separately=True)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


@needs_gil
def test_what_a_test_keeps_with_its_benchmark_stays(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        class Benchmark:
            def __init__(self):
                self.extra_info = {}

        @pytest.fixture
        def benchmark():
            one = Benchmark()
            yield one
            print("kept:", one.extra_info["gilknocker"])
        """
    )
    pytester.makepyfile(
        """
        def test_theirs(benchmark):
            benchmark.extra_info["gilknocker"] = "1.0.0"

        def test_ours(benchmark):
            pass
        """
    )
    result = run(pytester, "--gilknocker", "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*kept: 1.0.0", "*kept: {'method': *"])


FIGURES: dict[str, Any] = {
    **dict.fromkeys(("method", "body_ns", "held_fraction", "held_fraction_interval", "looks")),
    **dict.fromkeys(("hold_max_ns", "hold_max_exact", "waits")),
    **dict.fromkeys(("wait_p50_ns", "wait_p99_ns", "wait_max_ns")),
    "limits": [],
}


def test_figures_come_once_where_a_test_is_run_again() -> None:
    item: Any = SimpleNamespace(user_properties=[("theirs", 1)])
    attach(item, {**FIGURES, "body_ns": 1})
    attach(item, {**FIGURES, "body_ns": 2})
    report: Any = SimpleNamespace(user_properties=list(item.user_properties))
    assert len(report.user_properties) == 2
    for _ in range(2):  # one that is logged twice
        with hidden(report):
            assert of(report) is None
            report.user_properties.append(("added", 2))
        assert of(report) == {**FIGURES, "body_ns": 2}
    forget(item)
    assert item.user_properties == [("theirs", 1)]


def test_only_what_has_every_key_is_taken_for_figures() -> None:
    assert is_figures(FIGURES)
    assert is_figures(json.loads(json.dumps({**FIGURES, "more": 1})))  # of a later version
    for key in FIGURES:
        assert not is_figures({name: value for name, value in FIGURES.items() if name != key})
    for limits in (None, "x", [1], [{"state": "kept"}]):
        assert not is_figures({**FIGURES, "limits": limits})
    for other in (None, 1, "x", [], {}):
        assert not is_figures(other)
