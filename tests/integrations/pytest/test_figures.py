"""Where the figures of a run go: once for each test, into files, pipes and devices."""

from __future__ import annotations

import json
import os
import stat

import pytest
from needs import needs_gil
from pytest_runs import run, stored

pytest_plugins = ["pytester"]


@needs_gil
def test_one_report_that_is_logged_twice(pytester: pytest.Pytester) -> None:
    """As pytest-retry does: the first run's report is logged, changed, and logged again."""
    pytester.makeconftest(
        """
        import pytest
        from _pytest.runner import CallInfo

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_makereport(item, call):
            outcome = yield
            report = outcome.get_result()
            if call.when != "call" or not report.failed:
                return
            item.ihook.pytest_runtest_logreport(report=report)
            CallInfo.from_call(lambda: item.ihook.pytest_runtest_setup(item=item), when="setup")
            CallInfo.from_call(lambda: item.ihook.pytest_runtest_call(item=item), when="call")
            report.outcome, report.longrepr = "passed", None
        """
    )
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil

        tries = []

        @pytest.mark.limit_gil_hold("50 ms")
        def test_it(record_property):
            record_property("theirs", len(tries))
            tries.append("once more")
            if len(tries) == 1:
                hold_gil(0.2, sleep=True)
        """
    )
    run(pytester, "--gilknocker", "--gilknocker-json=x.json", "--junit-xml=x.xml")
    found = stored(pytester.path / "x.json")["test_it"]
    assert found["outcome"] == "passed"
    assert [limit["state"] for limit in found["limits"]] == ["kept"]
    assert found["body_ns"] < 0.2e9
    assert 'name="gilknocker"' not in (pytester.path / "x.xml").read_text()


@needs_gil
def test_an_outcome_that_changes_after_the_report(pytester: pytest.Pytester) -> None:
    """As it does where subtests failed, those of pytest 9."""
    pytester.makeconftest(
        """
        def pytest_report_teststatus(report):
            if report.when == "call":
                report.outcome = "failed"
        """
    )
    pytester.makepyfile("def test_it(): pass")
    run(pytester, "--gilknocker", "--gilknocker-json=x.json")
    assert stored(pytester.path / "x.json")["test_it"]["outcome"] == "failed"


@needs_gil
def test_a_run_without_a_body_has_no_figures(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for _ in range(2):
                item._initrequest()
                runtestprotocol(item, nextitem=nextitem)
            return True
        """
    )
    pytester.makepyfile(
        """
        import itertools, pytest
        tries = itertools.count()

        @pytest.fixture
        def fails_again():
            assert next(tries) == 0

        def test_it(fails_again):
            pass
        """
    )
    run(pytester, "--gilknocker", "--gilknocker-json=x.json")
    assert stored(pytester.path / "x.json") == {}


@needs_gil
def test_figures_into_a_pipe(pytester: pytest.Pytester) -> None:
    """Not a regular file: it is written in place, and stays what it is."""
    pytester.makepyfile("def test_it(): pass")
    pipe = pytester.path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        result = run(pytester, "--gilknocker", f"--gilknocker-json={pipe}")
        assert result.ret == 0
        assert len(json.loads(os.read(reader, 1 << 16))["tests"]) == 1
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    assert list(pytester.path.glob("*.tmp")) == []


@needs_gil
def test_figures_into_a_device(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    terminal, device = os.openpty()  # not /dev/null: where that is replaced, much else fails
    try:
        link = pytester.path / "link"
        link.symlink_to(os.ttyname(device))
        assert run(pytester, "--gilknocker", f"--gilknocker-json={link}").ret == 0
        assert link.is_symlink()
        assert stat.S_ISCHR(os.stat(link).st_mode)
        assert b"gilknocker.pytest" in os.read(terminal, 1 << 16)
    finally:
        os.close(terminal)
        os.close(device)


def test_file_that_cannot_be_written_at_the_end(pytester: pytest.Pytester) -> None:
    folder = pytester.mkdir("there")
    pytester.makepyfile("import os\ndef test_it(): os.rmdir('there')")
    result = run(pytester, "--gilknocker", f"--gilknocker-json={folder}/x.json")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["gilknocker: error: no figures in '*/there/x.json': *No such file*"]
    )
