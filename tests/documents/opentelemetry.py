"""What the blocks of docs/opentelemetry.md take for granted. Needs: opentelemetry.sdk."""

import sys
from types import ModuleType
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

trace.set_tracer_provider(TracerProvider())


class App:
    wsgi_app: Any = None

    def add_middleware(self, kind: type) -> None:
        kind(self).close()


app, wsgi_app = App(), object()

# No extra of ours brings it.
instrumentation: Any = ModuleType("opentelemetry.instrumentation.wsgi")
instrumentation.OpenTelemetryMiddleware = lambda wsgi_app: wsgi_app
sys.modules["opentelemetry.instrumentation"] = ModuleType("opentelemetry.instrumentation")
sys.modules[instrumentation.__name__] = instrumentation
