"""The fixtures: a knocker or a tracer for one test."""

from __future__ import annotations

import pytest
from pytest_runs import run

pytest_plugins = ["pytester"]


def test_knocker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import time, pytest
        from gilknocker.testing import hold_gil

        @pytest.fixture
        def slow(gil_knocker):
            hold_gil(1, sleep=True)
            yield gil_knocker
            assert not gil_knocker.is_running
            assert gil_knocker.snapshot().observed_seconds < 0.9

        def test_body_only(slow):
            assert slow.is_running
            assert slow.interval_micros == 5000
            time.sleep(0.01)

        @pytest.mark.gil_knocker(interval_micros=100, knock_interval_micros=300)
        class TestMarked:
            def test_intervals(self, gil_knocker):
                assert gil_knocker.interval_micros == 100
                assert gil_knocker.knock_interval_micros == 300

            @pytest.mark.gil_knocker(interval_micros=200)
            def test_nearest(self, gil_knocker):
                assert gil_knocker.interval_micros == 200
                assert gil_knocker.knock_interval_micros == 2000

        def test_asked_for_late(request):
            assert request.getfixturevalue("gil_knocker").is_running
            time.sleep(1)

        def test_may_stop_itself(gil_knocker):
            gil_knocker.stop()
            gil_knocker.stop()

        def test_a_new_one_each(gil_knocker):
            assert gil_knocker.snapshot().observed_seconds < 0.9
        """
    )
    pytester.makeini("[pytest]\ngilknocker_interval_micros = 5000\n")
    run(pytester).assert_outcomes(passed=6)
    run(pytester, "--gilknocker").assert_outcomes(passed=6)


def test_knocker_of_a_test_that_is_never_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def fails():
            raise OSError

        def test_it(gil_knocker, fails):
            pass
        """
    )
    run(pytester).assert_outcomes(errors=1)


TRACER = """
    import gilknocker

    class GilTracer:
        is_running = False

        @staticmethod
        def supported():
            return {supported}, "this is no Linux"

        def __init__(self, events=0):
            pass

        def start(self):
            self.is_running = True

        def stop(self):
            self.is_running = False

    gilknocker.GilTracer = GilTracer
"""


def test_tracer(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(TRACER.format(supported=True))
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def kept(gil_tracer):
            assert not gil_tracer.is_running
            yield gil_tracer
            assert not gil_tracer.is_running

        def test_it(kept):
            assert kept.is_running
        """
    )
    run(pytester, separately=True).assert_outcomes(passed=1)


def test_tracer_skips_where_it_is_not_supported(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(TRACER.format(supported=False))
    pytester.makepyfile("def test_it(gil_tracer): pass")
    result = run(pytester, "-rs", separately=True)
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*gil_tracer: this is no Linux"])
