"""What the blocks of docs/opentelemetry.md take for granted. Needs: opentelemetry.sdk."""

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())


class App:
    def add_middleware(self, kind: type) -> None:
        kind(self).close()


app, wsgi_app = App(), object()
