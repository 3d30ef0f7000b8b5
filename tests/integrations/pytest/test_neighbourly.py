"""Nothing of the meter fails a test, waits in it, or calls what it may have replaced."""

from __future__ import annotations

import re

import pytest
from needs import needs_gil, needs_tracer
from pytest_runs import run, stored

pytest_plugins = ["pytester"]

# What a suite may replace for its tests, here by what notes who calls it.
PATCHED = """
    import builtins, io, json, os, select, sys, threading, time
    import _thread
    import pytest
    from unittest.mock import patch

    NAMES = {
        time: ("sleep", "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter_ns"),
        threading: ("enumerate", "get_ident", "get_native_id", "main_thread", "current_thread",
                    "Lock", "RLock"),
        os: ("getpid", "stat", "open", "read", "write", "fspath"),
        os.path: ("exists", "isdir", "realpath"),
        json: ("dumps", "loads", "dump", "load", "JSONEncoder", "JSONDecoder"),
        select: ("select",),
        builtins: ("open",),
        io: ("open",),
        sys: ("getswitchinterval",),
        _thread: ("get_ident", "allocate_lock"),
    }

    noted = []

    def noting(module, name):
        original = getattr(module, name)

        def call(*args, **kwargs):
            frame = sys._getframe(1)
            # An import is none that the program would see.
            while frame is not None and "importlib" not in frame.f_globals.get("__name__", ""):
                if frame.f_code.co_name == "_set_native_id":
                    break  # of threading, which would call it without us as well
                if frame.f_globals.get("__name__", "").startswith("gilknocker."):
                    noted.append((name, frame.f_globals["__name__"], frame.f_code.co_name))
                    break
                frame = frame.f_back
            return original(*args, **kwargs)

        return patch.object(module, name, call)

    @pytest.fixture(params=["noted", "bad"])
    def replaced(request):
        patches = [noting(module, name) for module, names in NAMES.items() for name in names]
        if request.param == "bad":
            patches = [patch("time.monotonic_ns", lambda: 0), patch("time.sleep", None)]
        for one in patches:
            one.start()
        yield
        for one in reversed(patches):
            one.stop()

    @pytest.mark.limit_gil_hold("20 s")
    @pytest.mark.limit_gil_wait("20 s")
    @pytest.mark.limit_gil_contention(1.0)
    def test_limited(replaced):
        sum(range(1_000_000))

    @pytest.mark.gil_knocker(method="knock", interval_micros=100)
    def test_knocked(replaced, gil_knocker):
        sum(range(1_000_000))

    def test_fixtures(replaced, gil_knocker, gil_tracer):
        ended = threading.Thread(target=sum, args=([],))
        ended.start()
        ended.join()

    @pytest.mark.xfail(strict=True, raises=pytest.fail.Exception)
    @pytest.mark.limit_gil_hold("20 ms")
    def test_exceeds(replaced):
        for _ in range(5):  # who knocks may have no CPU for one or two of them
            [].extend(range(10_000_000))

    def test_plain(replaced):
        pass

    def test_last():
        assert not noted
"""


@needs_tracer
@pytest.mark.parametrize(
    "words", [(), ("--gilknocker", "--gilknocker-json=x.json", "--gilknocker-stalls=20ms")]
)
def test_what_a_test_may_replace_is_not_called(
    pytester: pytest.Pytester, words: tuple[str, ...]
) -> None:
    pytester.makepyfile(PATCHED)
    # However busy this machine is.
    pytester.makeconftest("from gilknocker.integrations.pytest import limits; limits.TOO_BUSY = 2")
    result = run(pytester, *words, separately=True)
    result.assert_outcomes(passed=9, xfailed=2)
    if words:
        assert len(stored(pytester.path / "x.json")) == 11


@needs_gil
@pytest.mark.parametrize("words", [(), ("--gilknocker",), ("--gilknocker-method=knock",)])
def test_busy_threads_do_not_make_it_wait(pytester: pytest.Pytester, words: tuple[str]) -> None:
    """The GIL, once let go of, is had back after so many turns as there are busy threads."""
    pytester.makeconftest(
        """
        import gilknocker.integrations.pytest.meter as meter
        from gilknocker import GilTracer

        letting_go = []

        def watched(method):
            def call(self):
                with GilTracer(events=0) as tracer:
                    native_id = __import__("threading").get_native_id()
                    tracer.reset()
                    result = method(self)
                    [mine] = [t for t in tracer.threads() if t.native_id == native_id]
                    letting_go.append(mine.acquisitions - mine.forced_releases)
                return result
            return call

        def pytest_collection_finish(session):
            meter.Meter.begin = watched(meter.Meter.begin)
            meter.Meter.end = watched(meter.Meter.end)

        def pytest_unconfigure():
            print("let go:", letting_go)
        """
    )
    pytester.makepyfile(
        """
        import threading, pytest

        @pytest.fixture(scope="module", autouse=True)
        def busy():
            stop = []
            def spin():
                while not stop:
                    pass
            threads = [threading.Thread(target=spin) for _ in range(3)]
            for thread in threads:
                thread.start()
            yield
            stop.append(1)
            for thread in threads:
                thread.join()

        @pytest.mark.parametrize("number", range(5))
        @pytest.mark.limit_gil_contention(1.0)
        def test_nothing(number):
            pass
        """
    )
    result = run(pytester, *words, "-s", separately=True)
    result.assert_outcomes(passed=5)
    [line] = [line for line in result.outlines if line.startswith("let go:")]
    # Once in a while the sampler's numbers are being written just then.
    assert sum(map(int, re.findall(r"\d+", line))) <= 2


BROKEN = """
    import gilknocker
    from gilknocker import GilTracer, KnockKnock

    def fail(*args, **kwargs):
        raise {error}

    {what} = staticmethod(fail) if {static} else fail
"""


@needs_gil
@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("GilTracer.supported", "ImportError('cannot allocate memory in static TLS block')"),
        ("GilTracer.start", "RuntimeError('somebody else redirects the same pointers')"),
        ("GilTracer.__init__", "MemoryError()"),
    ],
)
@pytest.mark.parametrize("method", ["auto", "trace"])
def test_where_there_is_no_tracer_knocks_take_its_place(
    pytester: pytest.Pytester, what: str, error: str, method: str
) -> None:
    pytester.makeconftest(BROKEN.format(what=what, error=error, static="supported" in what))
    pytester.makepyfile(
        f"""
        import pytest
        from gilknocker.testing import assert_releases_gil, hold_gil

        @pytest.mark.gil_knocker(method="{method}")
        def test_held():
            hold_gil(0.8, sleep=True)

        @pytest.mark.limit_gil_hold("20 s")
        def test_limited():
            pass

        def test_no_tracer_to_be_had(gil_tracer):
            assert 0

        def test_assertion():
            assert_releases_gil(int)
        """
    )
    result = run(
        pytester, "--gilknocker", "--gilknocker-json=x.json", "-W", "error", separately=True
    )
    result.assert_outcomes(passed=3, skipped=1)
    found = stored(pytester.path / "x.json")
    assert found["test_held"]["method"] in ("count", "look")
    assert found["test_held"]["held_fraction"] > 0.5
    assert [limit["state"] for limit in found["test_limited"]["limits"]] == ["kept"]


@needs_gil
def test_without_a_tracer_a_wait_is_not_taken_for_a_hold(pytester: pytest.Pytester) -> None:
    """One thread computes for 1 ms and reads a byte: it has it back before others are awake."""
    error = "ImportError('cannot allocate memory in static TLS block')"
    pytester.makeconftest(BROKEN.format(what="GilTracer.supported", error=error, static=True))
    pytester.makepyfile(
        """
        import os, time, warnings
        import pytest
        from gilknocker.testing import assert_releases_gil

        def takes_it_back():
            with open("/dev/zero", "rb", buffering=0) as file:
                until = time.monotonic() + 1.5
                while time.monotonic() < until:
                    end = time.monotonic() + 0.001
                    while time.monotonic() < end:
                        pass
                    file.read(1)

        @pytest.mark.limit_gil_hold("25 ms")
        def test_it():
            takes_it_back()

        def test_assertion():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*_back: a knock waited .* one hold or many: ")
                assert_releases_gil(takes_it_back, max_hold="25 ms")
        """
    )
    words = ("--gilknocker", "--gilknocker-json=x.json", "-W", "error")
    run(pytester, *words, separately=True).assert_outcomes(passed=2)
    [limit] = stored(pytester.path / "x.json")["test_it"]["limits"]
    assert limit["state"] == ("undecided" if limit["figure"] > 25e6 else "kept")


@needs_gil
@pytest.mark.parametrize(
    "what", ["KnockKnock.__init__", "KnockKnock.start", "KnockKnock.snapshot", "KnockKnock.stop"]
)
def test_what_cannot_be_measured_is_said_and_fails_nothing(
    pytester: pytest.Pytester, what: str
) -> None:
    pytester.makeconftest(
        BROKEN.format(what=what, error="AttributeError('_native_id')", static=False)
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.limit_gil_hold("20 ms")
        def test_limited():
            pass

        def test_other():
            pass
        """
    )
    result = run(
        pytester, "--gilknocker", "--gilknocker-json=x.json", "-W", "error", separately=True
    )
    result.assert_outcomes(passed=2)
    if what == "KnockKnock.stop":
        result.stdout.fnmatch_lines(["gilknocker: error: the meter could not be stopped: *"])
        return
    assert stored(pytester.path / "x.json") == {}
    result.stdout.fnmatch_lines(
        [
            "Tests that could not be measured, nor judged by their limits:",
            "  *::test_limited: limit_gil_hold: AttributeError: _native_id",
            "  *::test_other: not measured: AttributeError: _native_id",
        ]
    )


@needs_tracer
def test_many_threads_that_have_ended_make_no_test_slow(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import gilknocker.meters.tracer as tracer

        known = []
        read = tracer.GilTracer._read

        def counting(self, *args):
            result = read(self, *args)
            known.append(len(result["threads"]))
            return result

        tracer.GilTracer._read = counting

        def pytest_unconfigure():
            print("known:", max(known), known[-1])
        """
    )
    pytester.makepyfile(
        """
        import pytest, threading

        def test_short_threads():
            for _ in range(1000):
                thread = threading.Thread(target=int)
                thread.start()
                thread.join()

        @pytest.mark.parametrize("number", range(3))
        def test_nothing(number):
            pass
        """
    )
    result = run(pytester, "--gilknocker", "-s", separately=True)
    result.assert_outcomes(passed=4)
    [line] = [line for line in result.outlines if line.startswith("known:")]
    # The tracer keeps 256 apart, and looks for those that ended each 32 threads.
    assert int(line.split()[-1]) <= 256 + 32 + 10
