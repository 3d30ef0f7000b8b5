"""The middlewares of :mod:`gilknocker.integrations.opentelemetry`: to be imported from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.trace import get_current_span

from gilknocker.integrations.spans import SharedTracer, add, put, seconds, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from typing import Any

    from gilknocker.integrations.spans import _Share
    from gilknocker.meters.tracer import GilTracer

__all__ = ["GilAsgiMiddleware", "GilWsgiMiddleware"]


class GilAsgiMiddleware:
    """Adds to the current span what the GIL cost a request, step by step.

    To be put inside of what makes the span, around the application:
    ``app.add_middleware(GilAsgiMiddleware)`` before the instrumentation.

    Parameters
    ----------
    app : ASGI application
        What it wraps.
    tracer : GilTracer, optional
        As of :class:`GilSpanProcessor`; ours until `close`.

    Notes
    -----
    Counted are the steps of the request's own coroutine, on the loop's thread. What runs between
    them, what it awaits in other tasks and in threads, is not. The span is told before the last
    message of the answer, and again at the end, if it has not ended by then.
    """

    def __init__(self, app: Any, tracer: GilTracer | None = None) -> None:
        self._app = app
        self._tracer = SharedTracer(tracer)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        span = get_current_span()

        # OpenTelemetry's own instrumentation ends the span right after the last message of the
        # answer, while the application still runs.
        async def telling(message: Any) -> None:
            kind = message["type"]
            if kind == "http.response.trailers" or (
                kind == "http.response.body" and not message.get("more_body")
            ):
                put(span, steps.until_now())
            await send(message)

        steps = _Steps(self._app(scope, receive, telling), self._tracer)
        try:
            await steps
        finally:
            put(span, steps.total)

    def close(self) -> None:
        """Use the tracer no longer."""
        self._tracer.close()


class _Steps:
    """Awaits a coroutine and adds up what each of its steps did with the GIL."""

    def __init__(self, coroutine: Any, tracer: SharedTracer) -> None:
        self._coroutine = coroutine
        self._tracer = tracer
        self._begun: _Share | None = None  # where the step began that runs now
        self.total: tuple[float, float, float] | None = None  # until a step is known

    def until_now(self) -> tuple[float, float, float] | None:
        """Return the sums, with those of the step that runs now so far; None if none is known."""
        now = self._tracer.share()
        if self._begun is None or now is None or now[0] is not self._begun[0]:
            return self.total
        return self._with(self._begun, now)

    def _with(self, before: _Share, after: _Share) -> tuple[float, float, float]:
        step = seconds(before, after)
        return step if self.total is None else add(self.total, step)

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        step, value = inner.send, None
        while True:
            before = self._begun = self._tracer.share()
            try:
                awaited = step(value)
            except StopIteration as end:
                return end.value
            finally:
                after = self._tracer.share()
                self._begun = None
                if before is not None and after is not None:
                    self.total = self._with(before, after)
            try:
                step, value = inner.send, (yield awaited)
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:
                step, value = inner.throw, error


class GilWsgiMiddleware:
    """Adds to the current span what the GIL cost a request, with the sending of its body.

    To be put inside of what makes the span, around the application:
    ``OpenTelemetryMiddleware(GilWsgiMiddleware(wsgi_app))`` with the one of
    ``opentelemetry.instrumentation.wsgi``. That of Flask makes its span further inside, of which
    :class:`GilSpanProcessor` tells.

    Parameters
    ----------
    app : WSGI application
        What it wraps.
    tracer : GilTracer, optional
        As of :class:`GilSpanProcessor`; ours until `close`.
    """

    def __init__(self, app: Any, tracer: GilTracer | None = None) -> None:
        self._app = app
        self._tracer = SharedTracer(tracer)

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        """Run the application, and return its body."""
        span = get_current_span()  # now, for whoever made it may have left it when the body is sent
        share = self._tracer.share
        before = share()
        try:
            body = self._app(environ, start_response)
        finally:
            tell(span, before, share())  # in case the span ends before the body does
        kind = _SizedBody if hasattr(body, "__len__") else _Body
        return kind(body, lambda: tell(span, before, share()))

    def close(self) -> None:
        """Use the tracer no longer."""
        self._tracer.close()


class _Body:
    """The body of an answer, which calls a function when it is closed."""

    def __init__(self, body: Any, closed: Callable[[], None]) -> None:
        self._body = body
        self._closed = closed

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)  # not before the server has this: whatever it raises, it closes

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._closed()


class _SizedBody(_Body):
    """One of known length: servers tell the length of an answer whose body is a single part."""

    def __len__(self) -> int:
        return len(self._body)
