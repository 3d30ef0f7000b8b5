"""``--gilknocker-stalls``: which test a stall was in, and at which line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from needs import needs_gil, needs_tracer
from pytest_runs import run

from gilknocker import _core
from gilknocker.integrations.pytest.stalls import phase_with_most, stack_tail

pytest_plugins = ["pytester"]

needs_looks = pytest.mark.skipif(_core.look_problem() is not None, reason="no looks here")
needs_stacks = pytest.mark.skipif(_core.stack_problem() is not None, reason="no stacks here")

# Longer than who looks may have no CPU.
SUITE = """
    import threading, time
    import pytest
    from gilknocker.testing import hold_gil

    def stall(seconds):
        hold_gil(seconds, sleep=True)

    @pytest.fixture
    def slow():
        stall(1)
        yield
        stall(1)

    def test_quick():
        pass

    def test_stalls():
        stall(1.8)  # the longest

    def test_around(slow):
        time.sleep(0.05)

    def test_python():
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass

    def test_fails_anyway():
        stall(1)
        assert 0

    def test_in_a_thread():
        thread = threading.Thread(target=stall, args=(1,), name="a worker")
        thread.start()
        thread.join()

    def test_last():
        stall(1)
"""


def stalls_in(path: Path) -> list[dict[str, Any]]:
    """Return those that a test is to blame for.

    Where a machine has no CPU for a thread that holds the GIL, any Python code may stall.
    """
    found: list[dict[str, Any]] = json.loads(path.read_text())["stalls"]
    return [one for one in found if "hold_gil" in [frame[0] for frame in one["frames"]]]


@needs_gil
@needs_looks
@needs_stacks
def test_a_stall_is_named_with_its_test_and_line(pytester: pytest.Pytester) -> None:
    file = pytester.makepyfile(SUITE)
    result = run(pytester, "--gilknocker-stalls=200ms", "--gilknocker-json=x.json")
    result.assert_outcomes(passed=6, failed=1)  # a stall fails nothing by itself
    stalls = stalls_in(pytester.path / "x.json")
    assert [(stall["nodeid"].partition("::")[2], stall["when"]) for stall in stalls] == [
        ("test_stalls", "call"),
        ("test_around", "setup"),
        ("test_around", "teardown"),
        ("test_fails_anyway", "call"),
        ("test_in_a_thread", "call"),
        ("test_last", "call"),  # it was under way when its body was over
    ]
    for stall in stalls:
        assert stall["held_ns"] > 0.9e9
        assert stall["thread"] == ("a worker" if "thread" in stall["nodeid"] else "MainThread")
        assert ["stall", str(file), 6] in stall["frames"]
    assert ["test_stalls", str(file), 18] in stalls[0]["frames"]

    lines = result.outlines
    [head] = [line for line in lines if line.startswith("Stalls: ")]
    assert re.search(r"kept from all others for 200 ms or longer, [6-9] times:$", head)
    start = next(n for n, line in enumerate(lines) if line.endswith(f"{file.name}::test_stalls"))
    assert re.match(r"  [12]\.\d\d s  ", lines[start])
    assert lines[start + 1].startswith("    by MainThread")
    assert lines[start + 2].startswith("      hold_gil (")
    assert lines[start + 3] == f"      stall ({file.name}:6)"
    assert lines[start + 4] == f"      test_stalls ({file.name}:18)"
    assert any(line.endswith("::test_around, in its set-up") for line in lines)
    assert any(line.endswith("::test_around, in its teardown or after it") for line in lines)


@needs_gil
@needs_looks
@needs_stacks
def test_beside_the_table_and_as_many_as_are_asked_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SUITE)
    pytester.makeini("[pytest]\ngilknocker_stalls = 200 ms\n")
    words = ("--gilknocker", "--gilknocker-count=1", "--gilknocker-json=x.json")
    result = run(pytester, *words, "-k", "stalls or last or quick")
    assert len(stalls_in(pytester.path / "x.json")) == 2
    assert len(json.loads((pytester.path / "x.json").read_text())["tests"]) == 3
    more = [
        line for line in result.outlines if line.endswith(" more: --gilknocker-count=0 shows all")
    ]
    assert [line[:2] == "  " for line in more] == [False, True]  # of tests, of stalls


@needs_gil
@needs_looks
def test_none(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(): pass")
    result = run(pytester, "--gilknocker-stalls=60 s", "--gilknocker-json=x.json")
    assert stalls_in(pytester.path / "x.json") == []
    line = "No stall: nobody kept the GIL from all others for 60.0 s or longer"
    assert line in result.outlines


@needs_gil
@needs_looks
def test_one_that_does_not_end_is_told_of_at_once(pytester: pytest.Pytester) -> None:
    """Past what pytest captures, for its test may never end."""
    pytester.makeconftest(
        "from gilknocker.integrations.pytest import stalls; stalls.HUNG_NS = 300_000_000"
    )
    pytester.makepyfile(
        """
        import os
        from gilknocker.testing import hold_gil

        def test_never_ends():
            hold_gil(1.0, sleep=True)
            os._exit(7)
        """
    )
    result = run(pytester, "--gilknocker-stalls=100ms", separately=True)
    assert result.ret == 7
    result.stderr.fnmatch_lines(
        ["gilknocker: stall * of process *'MainThread'*has held the GIL for 0.*"]
    )


def test_where_they_cannot_be_watched_for(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from gilknocker import _core; _core.look_problem = lambda: 'no looks'")
    pytester.makepyfile("def test_it(): pass")
    words = ("--gilknocker-stalls=200ms", "--gilknocker-json=x.json")
    result = run(pytester, *words, separately=True)
    result.assert_outcomes(passed=1)
    assert "Stalls were not watched for: stalls cannot be watched for here: no looks" in (
        result.outlines
    )
    assert json.loads((pytester.path / "x.json").read_text())["stalls"] is None


LIMITED = """
    import threading
    import pytest
    from gilknocker.testing import assert_releases_gil, hold_gil

    pytestmark = pytest.mark.limit_gil_hold("50 ms")

    def keep():
        hold_gil(0.8, sleep=True)

    def test_main():
        keep()

    def test_in_a_thread():
        thread = threading.Thread(target=keep, name="a worker")
        thread.start()
        thread.join()

    @pytest.mark.limit_gil_hold(None)
    def test_call():
        assert_releases_gil(keep, max_hold="50 ms")

    def test_kept():
        pass
"""


@needs_gil
@needs_looks
@needs_stacks
@pytest.mark.parametrize("tracer", [pytest.param(True, marks=needs_tracer), False])
def test_a_limit_on_holds_names_thread_and_line(pytester: pytest.Pytester, tracer: bool) -> None:
    file = pytester.makepyfile(LIMITED)
    if not tracer:
        pytester.makeconftest(
            """
            from gilknocker.integrations.pytest import limits, meter
            limits.TOO_BUSY = 2
            meter._new_tracer = lambda holds_ns: None
            meter.kept_by_one = lambda snapshot: True  # that takes a longer body
            """
        )
    words = ("--gilknocker", "--gilknocker-json=x.json")
    result = run(pytester, *words, separately=not tracer)
    result.assert_outcomes(failed=3, passed=1)
    where = "in hold_gil (gilknocker/testing.py:*); the limit is 50 ms"
    about = "" if tracer else "about "
    result.stdout.fnmatch_lines(
        [
            f"limit_gil_hold: the GIL was held for {about}*s without a release, {where}",
            "  by MainThread, from * to * after the begin",
            "  the most recent call first:",
            "    hold_gil (*testing.py:*)",
            f"    keep ({file.name}:8)",
            f"    test_main ({file.name}:11)",
            "  by a worker, from * to * after the begin",
            f"    keep ({file.name}:8)",
            "E *AssertionError: keep kept the GIL for *",
            f"E *keep (*{file.name}:8)",
            f"E *test_call (*{file.name}:20)",
        ]
    )
    tests = json.loads((pytester.path / "x.json").read_text())["tests"]
    messages = [limit["message"] for test in tests for limit in test["limits"]]
    assert sum("in hold_gil (gilknocker/testing.py:" in message for message in messages) == 2


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=6, unique=True).map(sorted),
    st.integers(0, 40),
    st.integers(1, 40),
)
def test_it_is_the_phase_that_has_most_of_the_stall(
    begins: list[int], since: int, length: int
) -> None:
    marks = [(begin, f"test {n}", "call") for n, begin in enumerate(begins)]
    found, _ = phase_with_most(reversed(marks), since, since + length)
    counts = [0] * len(begins)
    for at in range(since, since + length):  # each ns is of the phase that began last
        if at >= begins[0]:
            counts[max(n for n, begin in enumerate(begins) if begin <= at)] += 1
    assert found  # a stall is always somebody's
    if any(counts):
        number = int(found.partition(" ")[2])
        assert counts[number] == max(counts)


def test_the_calls_that_are_shown() -> None:
    inner = [(f"f{n}", "/lib/deep.py", n) for n in range(1, 9)]
    test = ("test_it", "/root/tests/test_a.py", 3)
    outer = ("run", "/lib/pytest.py", 1)
    assert stack_tail([outer, test], test[1], "/root") == ["test_it (tests/test_a.py:3)"]
    assert stack_tail([outer, test, *inner], test[1], "/root") == [
        *(f"f{n} (/lib/deep.py:{n})" for n in (8, 7, 6, 5)),
        "(4 more)",
        "test_it (tests/test_a.py:3)",
    ]
    assert stack_tail(inner, test[1], "/root")[-1] == "f4 (/lib/deep.py:4)"
    assert stack_tail([], test[1], "/root") == []
    assert stack_tail([test], "", "") == ["test_it (/root/tests/test_a.py:3)"]
