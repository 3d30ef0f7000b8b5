"""What does a running knocker cost the program? The question of the original's benchmark.

python -m pytest -v --benchmark-only benchmarks/ --benchmark-histogram
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from workloads import WORKLOADS

from gilknocker import KnockKnock

INTERVALS_MICROS = (None, 10, 100, 1_000, 10_000, 100_000)


@pytest.mark.parametrize("interval_micros", INTERVALS_MICROS)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.__name__)
def test_bench(
    benchmark: BenchmarkFixture, workload: Callable[[], None], interval_micros: int | None
) -> None:
    knocker = nullcontext() if interval_micros is None else KnockKnock(interval_micros)
    with knocker as running:
        benchmark(workload)
    if running is not None:
        benchmark.extra_info["held_fraction"] = round(running.contention_metric, 3)
