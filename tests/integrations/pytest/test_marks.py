"""Limits at tests, and the fixtures: all that works without --gilknocker."""

from __future__ import annotations

import re

import pytest
from needs import needs_gil, needs_tracer
from pytest_runs import run

from gilknocker.integrations.pytest.limits import TOO_BUSY

pytest_plugins = ["pytester"]

LIMITED = """
    import time
    import pytest
    from gilknocker.testing import hold_gil

    pytestmark = pytest.mark.limit_gil_hold("50 ms")

    # A knock must have waited for longer than the limit: on a busy machine it asks late.
    def test_exceeds():
        hold_gil(1, sleep=True)

    @pytest.mark.limit_gil_hold("10 s")
    def test_nearest_wins():
        hold_gil(0.12, sleep=True)

    @pytest.mark.limit_gil_hold(None)
    def test_none_is_no_limit():
        hold_gil(0.12, sleep=True)

    class TestClass:
        pytestmark = pytest.mark.limit_gil_hold("10 s")

        def test_in_class(self):
            hold_gil(0.12, sleep=True)

    @pytest.mark.xfail(strict=True)
    def test_exceeding_is_failing():
        hold_gil(1, sleep=True)

    def test_own_failure_comes_first():
        hold_gil(0.12, sleep=True)
        assert 0, "my own"

    @pytest.fixture
    def strict(request):
        request.node.add_marker(pytest.mark.limit_gil_contention(0.2))

    @pytest.mark.limit_gil_hold(None)
    def test_marked_by_a_fixture(strict):
        hold_gil(1, sleep=True)
"""

KEPT = """
    import time
    import pytest
    from gilknocker.testing import hold_gil

    # Longer than a thread that has the GIL may have no CPU.
    pytestmark = pytest.mark.limit_gil_hold("600 ms")

    def test_pure_python_gives_it_up():
        end = time.monotonic() + 1
        while time.monotonic() < end:
            pass

    @pytest.fixture
    def slow():
        hold_gil(0.8, sleep=True)
        yield
        hold_gil(0.8, sleep=True)

    def test_slow_setup_is_not_its(slow):
        time.sleep(0.02)
"""


any_method = pytest.mark.parametrize(
    "words",
    [
        (),
        ("--gilknocker", "--gilknocker-method=knock"),
        pytest.param(("--gilknocker", "--gilknocker-method=trace"), marks=needs_tracer),
    ],
    ids=["alone", "knock", "trace"],
)


@needs_gil
@any_method
def test_limits(pytester: pytest.Pytester, words: tuple[str, ...]) -> None:
    pytester.makepyfile(LIMITED)
    result = run(pytester, "-rA", *words)
    result.assert_outcomes(passed=3, failed=3, xfailed=1)
    failed = [line.split("::")[1].split()[0] for line in result.outlines if line[:6] == "FAILED"]
    assert failed == ["test_exceeds", "test_own_failure_comes_first", "test_marked_by_a_fixture"]
    text = result.stdout.str()
    assert re.search(r" m?s without a release.*; the limit is 50 ms", text)
    assert "assert 0" in text
    assert "limit_gil_contention: the GIL was held " in text
    # On a busy machine no knock may come in time: that is told without being asked for.
    assert ("use of the GIL" in text) == (bool(words) or "could not be decided" in text)


@needs_gil
@any_method
def test_limits_that_are_kept(pytester: pytest.Pytester, words: tuple[str, ...]) -> None:
    pytester.makepyfile(KEPT)
    run(pytester, *words, too_busy=TOO_BUSY).assert_outcomes(passed=2)


@needs_gil
def test_a_fixture_alone_may_mark(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil

        @pytest.fixture(autouse=True)
        def strict(request):
            request.node.add_marker(pytest.mark.limit_gil_hold("20 ms"))

        def test_it():
            hold_gil(1, sleep=True)
        """
    )
    run(pytester).assert_outcomes(failed=1)


@needs_gil
def test_waits(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import time, pytest
        from gilknocker.testing import hold_gil

        @pytest.mark.limit_gil_wait("15 ms", percentile=50)
        @pytest.mark.limit_gil_contention(0.5)
        def test_both():
            for _ in range(25):  # who knocks may have no CPU for half of them
                hold_gil(0.04, sleep=True)
                time.sleep(0.001)
        """
    )
    result = run(pytester)
    result.stdout.fnmatch_lines(
        [
            "limit_gil_wait: a thread that wanted the GIL waited * (p50 of the waits); the limit*",
            "  waits of knocks:",
            "    < * ms *#",
            "limit_gil_contention: the GIL was held * % of the time; the limit is 50.0 %",
        ]
    )


def test_nothing_runs_beside_other_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from own_threads import our_names
        from waiting import wait_until

        @pytest.mark.limit_gil_hold("60 s")
        def test_marked():
            wait_until(our_names)

        def test_not_marked():
            wait_until(lambda: not our_names())  # one that was joined is there a moment longer
        """
    )
    run(pytester).assert_outcomes(passed=2)


@needs_tracer
@pytest.mark.parametrize("method", ["auto", "knock", "trace"])
def test_a_hold_is_told_with_its_thread_and_its_time(
    pytester: pytest.Pytester, method: str
) -> None:
    pytester.makepyfile(
        """
        import threading, time
        import pytest
        from gilknocker.testing import hold_gil

        @pytest.mark.limit_gil_hold("50 ms")
        def test_it():
            time.sleep(0.1)
            thread = threading.Thread(target=hold_gil, args=(0.8,), kwargs={"sleep": True},
                                      name="packer")
            thread.start()
            thread.join()
        """
    )
    result = run(pytester, "--gilknocker", f"--gilknocker-method={method}")
    result.assert_outcomes(failed=1)
    # The first: with CI=true pytest says all of it again in its summary.
    line, *_ = (line for line in result.outlines if line.startswith("  by "))
    told = re.fullmatch(r"  by packer, from ([\d.]+) (m?s) to ([\d.]+) (m?s) after the begin", line)
    assert told is not None
    number, unit, last, last_unit = told.groups()
    begin, end = (
        float(n) * {"ms": 1, "s": 1000}[u] for n, u in ((number, unit), (last, last_unit))
    )
    assert 100 <= begin < end
    assert end - begin >= 790  # three digits of each are told


@needs_tracer
@pytest.mark.parametrize("method", ["auto", "knock", "trace"])
def test_a_thread_that_takes_it_back_too_soon_for_others_holds_it_not_long(
    pytester: pytest.Pytester, method: str
) -> None:
    """It lets go often, but a waiter is awake only when it has it back, and waits on."""
    pytester.makepyfile(
        """
        import os, pathlib, time
        import pytest

        @pytest.mark.limit_gil_hold("25 ms")
        def test_it():
            file = os.open("/dev/zero", os.O_RDONLY)
            now, longest = time.monotonic(), 0.0
            until = now + 1.5
            while now < until:
                end = now + 0.001
                while now < end:
                    before, now = now, time.monotonic()
                    longest = max(longest, now - before)
                os.read(file, 1)
            os.close(file)
            pathlib.Path(__file__).with_name("longest").write_text(str(longest))
        """
    )
    words = ("--gilknocker", f"--gilknocker-method={method}")
    for _ in range(20):
        result = run(pytester, *words, too_busy=TOO_BUSY)
        # A CPU that is away for that long while the thread has the GIL makes it a long hold.
        if float((pytester.path / "longest").read_text()) < 0.02:
            return result.assert_outcomes(passed=1)
    pytest.skip("this machine takes the CPU away for as long as the limit, again and again")


@needs_gil
def test_waits_of_a_short_test_are_judged(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil, release_gil

        pytestmark = [pytest.mark.limit_gil_wait("20 ms"), pytest.mark.parametrize("n", range(20))]

        def test_good(n):
            release_gil(0.06, sleep=True)

        def test_bad(n):
            hold_gil(0.06, sleep=True)
        """
    )
    good = run(pytester, "-k", "good", too_busy=TOO_BUSY)
    # Who knocks may have no CPU for as long as several of them take.
    undecided = sum(line.endswith(" are needed") for line in good.outlines)
    assert good.parseoutcomes()["passed"] - undecided >= 10
    assert run(pytester, "-k", "bad").parseoutcomes()["failed"] >= 10


@needs_gil
def test_limits_off(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gilknocker.testing import hold_gil

        @pytest.mark.limit_gil_hold("20 ms")
        def test_it():
            hold_gil(1, sleep=True)
        """
    )
    run(pytester).assert_outcomes(failed=1)
    result = run(pytester, "--gilknocker-limits=off")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*use of the GIL*")
    run(pytester, "--gilknocker", "--gilknocker-limits=off").assert_outcomes(passed=1)


@needs_gil
def test_too_short_to_decide_is_no_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.limit_gil_contention(0.1)
        def test_it():
            pass
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*use of the GIL (gilknocker)*",
            "Limits that could not be decided:",
            "  *::test_it: limit_gil_contention: *, at least * are needed",
        ]
    )


def test_a_limit_that_python_exceeds_by_design_warns(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.limit_gil_wait("5 ms")
        def test_it():
            pass
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(
        ["*test_a_limit_that_python_exceeds_by_design_warns.py:*PytestWarning: limit_gil_wait: a "
         "limit of 5.0 ms is less than twice sys.getswitchinterval()*"]
    )  # fmt: skip
    run(pytester, "-W", "error").assert_outcomes(failed=1)
