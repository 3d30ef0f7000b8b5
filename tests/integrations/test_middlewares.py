"""Requests that say what the GIL cost them, by ASGI and WSGI middleware."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler

import pytest
from needs import needs_tracer

pytest.importorskip("opentelemetry.sdk")

from opentelemetry.sdk.trace import TracerProvider

from gilknocker import GilTracer
from gilknocker.integrations import opentelemetry as ours
from gilknocker.testing import GilLoad, hold_gil, release_gil

WAITED, HELD, OTHERS = (f"gilknocker.gil.{name}" for name in ("waited", "held", "held_by_others"))


def asgi(spans: Any, app: Any, requests: int = 1) -> list[dict[str, float]]:
    """Return the attributes of some requests that an application handles at the same time."""
    middleware = ours.GilAsgiMiddleware(app)

    async def request() -> dict[str, float]:
        with spans.start_as_current_span("request") as span:
            await middleware({"type": "http"}, None, None)
            return dict(span.attributes)

    async def all_of_them() -> list[dict[str, float]]:
        return await asyncio.gather(*(request() for _ in range(requests)))

    try:
        return asyncio.run(all_of_them())
    finally:
        middleware.close()


@needs_tracer
def test_a_request_is_told_of_its_own_steps() -> None:
    order = iter([1.0, 0.02])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seconds = next(order)
        await asyncio.sleep(0.01)
        hold_gil(seconds)
        await asyncio.sleep(0.05)

    spans = TracerProvider().get_tracer("test")
    first, second = asgi(spans, app, requests=2)
    assert first[HELD] >= 1.0
    assert 0.02 <= second[HELD] < 0.8  # the other's steps are not among its own


@needs_tracer
def test_a_request_is_told_of_its_waits() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        end = time.monotonic() + 1.5  # it, or the load, may have no CPU for a third
        while time.monotonic() < end:
            release_gil(0.001, sleep=True)
            await asyncio.sleep(0)

    spans = TracerProvider().get_tracer("test")
    with GilLoad(0.01, 0.001, sleep=True):
        (seen,) = asgi(spans, app)
    assert seen[WAITED] > 0.1
    assert seen[OTHERS] > 0.1
    assert seen[HELD] < seen[OTHERS]


@needs_tracer
@pytest.mark.parametrize("kind", [ValueError, asyncio.CancelledError])
def test_what_an_application_raises_goes_through(kind: type[BaseException]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)
        except asyncio.TimeoutError:
            raise kind("on purpose") from None

    with pytest.raises(kind):
        asgi(TracerProvider().get_tracer("test"), app)


@needs_tracer
def test_what_was_not_measured_is_not_told() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.body", "body": b"a"})

    async def send(message: Any) -> None: ...

    def told(middleware: Any) -> set[str]:
        with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
            asyncio.run(middleware({"type": "http"}, None, send))
        return set(span.attributes)

    of_ours, of_another = ours.GilAsgiMiddleware(app), ours.GilAsgiMiddleware(app, GilTracer(0))
    try:
        assert told(of_ours) == {WAITED, HELD, OTHERS}
    finally:
        of_ours.close()
    assert told(of_ours) == set()
    assert told(of_another) == set()  # its tracer does not run


def ending_with_the_body(app: Any, spans: Any, ended: list[Any]) -> Any:
    """End a request's span as opentelemetry.instrumentation.asgi does: after its last message."""

    async def instrumented(scope: Any, receive: Any, send: Any) -> None:
        trailers = False

        async def ending(message: Any) -> None:
            nonlocal trailers
            trailers = trailers or message.get("trailers", False)
            await send(message)
            last = "http.response.trailers" if trailers else "http.response.body"
            if message["type"] == last and not message.get("more_body"):
                span.end()
                ended.append(span)

        with spans.start_as_current_span("request") as span:
            await app(scope, receive, ending)

    return instrumented


def span_that_ended_with_the_body(app: Any, send: Any) -> Any:
    """Return the span of one request, ended by the last message of its answer."""
    ended: list[Any] = []
    middleware = ours.GilAsgiMiddleware(app)
    instrumented = ending_with_the_body(middleware, TracerProvider().get_tracer("test"), ended)
    asyncio.run(instrumented({"type": "http"}, None, send))
    middleware.close()
    (span,) = ended
    return span


@needs_tracer
@pytest.mark.parametrize("trailers", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_a_request_whose_span_ends_with_its_body_is_told(
    trailers: bool, waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        hold_gil(0.05)
        await send({"type": "http.response.start", "status": 200, "trailers": trailers})
        if waits:
            await asyncio.sleep(0.01)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        hold_gil(0.05)
        await send({"type": "http.response.body", "body": b"b"})
        if trailers:
            hold_gil(0.05)
            await send({"type": "http.response.trailers"})
        held.append(tracer.this_thread()[0])
        hold_gil(0.05)  # when the answer is there

    held: list[int] = []
    sent = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    with GilTracer(0) as tracer:
        held.append(tracer.this_thread()[0])
        span = span_that_ended_with_the_body(app, send)
    assert sent.count("http.response.body") == 2
    assert span.attributes[HELD] >= (0.15 if trailers else 0.1)
    assert span.attributes[HELD] <= (held[1] - held[0]) / 1e9 + 0.001
    assert not [one for one in caplog.records if "attribute" in one.message]  # of an ended span


@needs_tracer
def test_a_body_sent_by_another_task_tells_of_the_steps_so_far() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def stream() -> None:
            held.append(tracer.this_thread()[0])
            hold_gil(0.05)
            await send({"type": "http.response.body", "body": b"a"})

        hold_gil(0.05)
        await asyncio.create_task(stream())

    async def send(message: Any) -> None: ...

    held: list[int] = []
    with GilTracer(0) as tracer:
        held.append(tracer.this_thread()[0])
        span = span_that_ended_with_the_body(app, send)
    assert 0.05 <= span.attributes[HELD] <= (held[1] - held[0]) / 1e9 + 0.001


@needs_tracer
def test_a_wsgi_request_is_told_with_its_body() -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            hold_gil(0.05)
            yield b"a"
            hold_gil(0.05)
            yield b"b"

        def close(self) -> None:
            closed.append(True)

    def app(environ: Any, start_response: Any) -> Body:
        hold_gil(0.05)
        start_response("200 OK", [])
        return Body()

    middleware = ours.GilWsgiMiddleware(app)
    answers = []
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        body = middleware({}, lambda *answer: answers.append(answer))
        assert answers  # not put off
        assert span.attributes[HELD] >= 0.05
        assert list(body) == [b"a", b"b"]
        body.close()
    middleware.close()
    assert closed == [True]
    assert span.attributes[HELD] >= 0.15
    assert span.attributes[WAITED] < 0.15


@needs_tracer
def test_a_wsgi_body_that_cannot_be_iterated_is_closed() -> None:
    closed = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            raise ValueError("on purpose")

        def close(self) -> None:
            closed.append(True)

    middleware = ours.GilWsgiMiddleware(lambda environ, start_response: Body())
    body = middleware({}, None)
    with pytest.raises(ValueError, match="on purpose"):
        iter(body)
    body.close()  # as a server does then
    middleware.close()
    assert closed == [True]


@needs_tracer
@pytest.mark.parametrize("parts", [[b"hello"], [b"hel", b"lo"], iter([b"hello"])])
def test_a_server_sees_how_many_parts_a_body_has(parts: Any) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        return parts

    middleware = ours.GilWsgiMiddleware(app)
    answer = io.BytesIO()
    environ = {"SERVER_PROTOCOL": "HTTP/1.1"}
    SimpleHandler(io.BytesIO(), answer, io.StringIO(), environ).run(middleware)
    middleware.close()
    headers, _, body = answer.getvalue().partition(b"\r\n\r\n")
    assert body == b"hello"
    assert (b"Content-Length: 5" in headers) == (parts == [b"hello"])
