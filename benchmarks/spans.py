"""What GilSpanProcessor adds to a span, in µs: interleaved with spans that have none of it.

    .venv/bin/python benchmarks/spans.py        (needs gilknocker[opentelemetry])

Ours is the reading of the tracer at both ends and what is made of it; the SDK's is the time that
its own set_attribute takes for three numbers. Least and median of rounds that take turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from machine import describe
from opentelemetry.sdk.trace import TracerProvider

from gilknocker.integrations.opentelemetry import GilSpanProcessor

ROUNDS = 1_000
SPANS = 50
NAMES = ("waited", "held", "held_by_others")


def steal() -> int:
    """Return the ticks that the hypervisor took from this machine."""
    return int(Path("/proc/stat").read_text().split()[8])


def micros(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    for _ in range(SPANS):
        call()
    return (time.perf_counter() - begin) / SPANS * 1e6


def main() -> None:
    plain, metered = TracerProvider(), TracerProvider()
    metered.add_span_processor(GilSpanProcessor())
    plain_tracer, metered_tracer = plain.get_tracer("plain"), metered.get_tracer("metered")

    def set_by_hand() -> None:
        span = plain_tracer.start_span("work")
        for name in NAMES:
            span.set_attribute(f"gilknocker.gil.{name}", 0.5)
        span.end()

    calls: dict[str, Callable[[], object]] = {
        "a span": lambda: plain_tracer.start_span("work").end(),
        "with three attributes of one's own": set_by_hand,
        "with GilSpanProcessor": lambda: metered_tracer.start_span("work").end(),
    }
    before = steal()
    seen: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            seen[name].append(micros(call))
    print(describe(), f"steal {steal() - before} ticks", sep="\n")
    for name, times in seen.items():
        print(f"{name:36} least {min(times):6.2f} µs, median {statistics.median(times):6.2f} µs")
    span, by_hand, ours = (min(times) for times in seen.values())
    print(f"added: {ours - span:.2f} µs a span, of that {by_hand - span:.2f} µs by the SDK itself")
    metered.shutdown()


if __name__ == "__main__":
    main()
