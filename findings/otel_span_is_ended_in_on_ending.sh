#!/usr/bin/env bash
# OpenTelemetry's Python SDK calls SpanProcessor._on_ending(span), "called when a Span is ending",
# when the span has ended: is_recording() is False there, and an attribute that is set is dropped with
# a warning. The specification wants the span of OnEnding to be still writable, and that is what the
# callback would be for: the last word on a span. Whoever needs it must wrap span.end in on_start.
#
# Seen with opentelemetry-sdk 1.45.2 on Python 3.11. Exits 1 if that has changed.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q --disable-pip-version-check opentelemetry-sdk==1.45.2 2>"$work/pip.log" ||
  { cat "$work/pip.log"; exit 2; }
"$work/venv/bin/python" - 2>&1 <<'PYTHON' | tee "$work/output"
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider


class LastWord(SpanProcessor):
    def _on_ending(self, span):
        print("recording in _on_ending:", span.is_recording())
        span.set_attribute("said", "something")


provider = TracerProvider()
provider.add_span_processor(LastWord())
with provider.get_tracer("finding").start_as_current_span("work") as span:
    pass
print("attributes:", dict(span.attributes))
PYTHON
# Output seen (the first and last by Python, the second a warning by the SDK):
diff <(sort "$work/output") <(sort <<'SEEN'
recording in _on_ending: False
Setting attribute on ended span.
attributes: {}
SEEN
)
