"""Spans that say what the GIL cost their thread, and the tracer that all of them share."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import pytest
from needs import needs_tracer
from waiting import wait_until

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from gilknocker import GilTracer
from gilknocker._core import trace_slots
from gilknocker.integrations import opentelemetry as ours
from gilknocker.testing import GilLoad, hold_gil, release_gil

WAITED, HELD, OTHERS = (f"gilknocker.gil.{name}" for name in ("waited", "held", "held_by_others"))

MIDDLEWARES = ours.GilAsgiMiddleware, ours.GilWsgiMiddleware


@pytest.fixture
def spans() -> Iterator[Any]:
    provider = TracerProvider()
    provider.add_span_processor(ours.GilSpanProcessor())
    yield provider.get_tracer("test")
    provider.shutdown()


def spin(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@needs_tracer
def test_a_span_says_what_the_gil_cost_its_thread(spans: Any) -> None:
    with GilTracer(0) as tracer, GilLoad(0.01, 0.01, sleep=True):
        time.sleep(0.05)
        readings = [tracer.this_thread()]
        with spans.start_as_current_span("work") as span:
            readings.append(tracer.this_thread())
            spin(0.1)
            # The load may have no CPU meanwhile.
            wait_until(lambda: tracer.this_thread()[1] > readings[1][1] + 30_000_000)
            readings.append(tracer.this_thread())
        readings.append(tracer.this_thread())
    before, begun, done, after = readings
    assert set(span.attributes) == {WAITED, HELD, OTHERS}
    for i, name in enumerate((HELD, WAITED, OTHERS)):
        # By another tracer, of a little less and of a little more than the span: it hooks the same
        # calls, but takes its own times.
        least, most = (done[i] - begun[i]) / 1e9, (after[i] - before[i]) / 1e9
        assert least - 0.001 <= span.attributes[name] <= most + 0.001, name
    assert span.attributes[WAITED] > 0.02  # it did


@needs_tracer
def test_processors_after_it_are_flushed() -> None:
    class Flushed(SpanProcessor):
        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            flushed.append(timeout_millis)
            return True

    flushed: list[int] = []
    provider = TracerProvider()
    provider.add_span_processor(ours.GilSpanProcessor())
    provider.add_span_processor(Flushed())
    try:
        assert provider.force_flush(5_000) is True
    finally:
        provider.shutdown()
    assert len(flushed) == 1


@needs_tracer
def test_a_span_without_the_gil_and_without_others(spans: Any) -> None:
    with spans.start_as_current_span("work") as span:
        release_gil(0.3)
    assert span.attributes[HELD] < 0.15
    with spans.start_as_current_span("work") as span:
        hold_gil(0.3)
    assert span.attributes[HELD] >= 0.3
    assert span.attributes[WAITED] < 0.15


@needs_tracer
def test_a_span_that_ends_elsewhere_has_no_attribute(spans: Any) -> None:
    span = spans.start_span("work")
    thread = threading.Thread(target=span.end)
    thread.start()
    thread.join()
    assert dict(span.attributes) == {}
    assert span.end_time is not None


@needs_tracer
def test_a_span_that_ends_in_a_later_thread_of_the_same_number_has_no_attribute(
    spans: Any,
) -> None:
    begun: list[tuple[int, Any]] = []
    ended: list[int] = []

    def begin() -> None:
        begun.append((threading.get_ident(), spans.start_span("work")))

    def end(span: Any) -> None:
        spin(0.01)  # longer than the other had the GIL: no number is less than 0
        ended.append(threading.get_ident())
        span.end()

    def run(*call: Any) -> None:
        thread = threading.Thread(target=call[0], args=call[1:])
        thread.start()
        thread.join()

    for _ in range(20):
        run(begin)
        run(end, begun[-1][1])
        if ended[-1] == begun[-1][0]:
            assert dict(begun[-1][1].attributes) == {}
    if not any(one == number for one, (number, _) in zip(ended, begun, strict=True)):
        pytest.skip("here no number was given again")


@needs_tracer
def test_a_span_ends_once_and_keeps_the_time_it_is_given(
    spans: Any, caplog: pytest.LogCaptureFixture
) -> None:
    span = spans.start_span("work")
    span.end(end_time=span.start_time + 5)
    assert span.end_time == span.start_time + 5
    told = dict(span.attributes)
    span.end()
    assert dict(span.attributes) == told
    assert [record.message for record in caplog.records] == ["Calling end() on an ended span."]


@needs_tracer
def test_a_reset_between_leaves_no_wrong_number() -> None:
    provider = TracerProvider()
    with GilTracer(0) as tracer:
        hold_gil(0.05)
        provider.add_span_processor(ours.GilSpanProcessor(tracer))
        with provider.get_tracer("test").start_as_current_span("work") as span:
            tracer.reset()
        assert dict(span.attributes) == {}
        provider.shutdown()
        assert tracer.is_running  # its owner's business


@needs_tracer
def test_all_of_a_process_share_one_tracer() -> None:
    def told(processor: Any) -> bool:
        provider = TracerProvider()
        provider.add_span_processor(processor)
        with provider.get_tracer("test").start_as_current_span("work") as span:
            pass
        return HELD in span.attributes

    made = [make(None) for make in MIDDLEWARES * 4]
    processors = [ours.GilSpanProcessor() for _ in range(4)]
    with GilTracer(0), GilTracer(0), GilTracer(0):
        assert all(map(told, processors))
        while made:
            made.pop().close()
        processors[0].shutdown()
        processors[0].shutdown()  # once is enough
        assert [told(one) for one in processors] == [False, True, True, True]
        processors[1].shutdown()
        processors[2].shutdown()
        assert told(processors[3])  # the last that uses it
    processors[3].shutdown()
    assert not trace_slots()


@needs_tracer
@pytest.mark.parametrize("make", MIDDLEWARES)
def test_one_that_is_collected_uses_the_tracer_no_longer(make: Any) -> None:
    for _ in range(6):
        make(None)
    gc.collect()
    assert not trace_slots()


@needs_tracer
def test_one_for_which_there_is_no_tracer_left_uses_none() -> None:
    with GilTracer(0), GilTracer(0), GilTracer(0):
        with GilTracer(0), pytest.raises(RuntimeError, match="at most 4 tracers"):
            ours.GilSpanProcessor()
        ours.GilSpanProcessor().shutdown()
    assert not trace_slots()


@needs_tracer
def test_threads_may_begin_and_end_with_it() -> None:
    def make_and_drop() -> None:
        for _ in range(200):
            processor = ours.GilSpanProcessor()
            middleware: Any = ours.GilWsgiMiddleware(None)
            middleware.itself = middleware  # collected by whichever thread collects garbage
            with GilTracer(0):
                middleware = None
            processor.shutdown()

    with futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(make_and_drop) for _ in range(3)]:
            done.result(60)
    gc.collect()
    assert not trace_slots()


FORKED = """
import os, sys, warnings
from opentelemetry.sdk.trace import TracerProvider
from gilknocker import GilTracer
from gilknocker._core import trace_slots
from gilknocker.integrations.opentelemetry import GilSpanProcessor, GilWsgiMiddleware
from gilknocker.testing import hold_gil

# Threads of the SDK's own, which look for resources: they are joined, and may not have left yet.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
provider, bare = TracerProvider(), TracerProvider()
processor = GilSpanProcessor()
provider.add_span_processor(processor)
middleware = GilWsgiMiddleware(lambda environ, start: [hold_gil(0.02) or b""])

def in_child(work):
    sys.stdout.flush()
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
        return
    work()
    sys.stdout.flush()
    os._exit(0)

def told(span):
    return span.attributes.get("gilknocker.gil.held", 0.0) >= 0.02

def span():
    with provider.get_tracer("test").start_as_current_span("work") as span:
        hold_gil(0.02)
    assert told(span)

def request():
    with bare.get_tracer("test").start_as_current_span("request") as span:
        middleware({}, None).close()
    assert told(span)

def both():
    assert not trace_slots()  # nobody has asked yet
    span()
    request()
    in_child(span)  # of the child
    crossing.end()
    assert not crossing.attributes  # its begin is the parent's
    provider.shutdown()
    middleware.close()
    assert not trace_slots()

def none_left():
    tracers = [GilTracer(0) for _ in range(4)]
    for one in tracers:
        one.start()
    middleware({}, None).close()  # of which nothing is told, and which goes on
    for one in tracers:
        one.stop()

crossing = provider.get_tracer("test").start_span("crossing")
in_child(both)
in_child(request)
in_child(none_left)
span()
request()
print("done")
"""


@needs_tracer
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_what_was_made_before_a_fork_goes_on_in_the_child() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
