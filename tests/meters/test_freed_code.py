"""A code object in the place of one that was freed has its own name, also where all is alike."""

from __future__ import annotations

import sys
from pathlib import Path

import new_code
import pytest
from needs import needs_gil
from new_code import compute_in_new_code, names
from waiting import wait_until
from watched import cpu_seconds, running

from gilknocker import KnockKnock, _core

PROBLEM = _core.stack_problem()
pytestmark = [needs_gil, pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))]

FUNCTIONS = 40


def test_in_this_process() -> None:
    made = [f"f{number}" for number in range(10, 10 + FUNCTIONS)]
    with KnockKnock(stacks=True, method="look") as knocker:
        places = {compute_in_new_code(name) for name in made}
        seen = names(knocker.snapshot().stacks)
    assert len(places) < FUNCTIONS / 3  # of memory, used again and again
    assert seen <= set(made) and len(seen) >= 0.8 * FUNCTIONS


@pytest.mark.skipif(sys.platform != "linux", reason="another process is read on Linux only")
def test_in_another_process() -> None:
    from gilknocker.meters.outside import target
    from gilknocker.meters.outside.watch import OutsideMeter

    with running(Path(new_code.__file__).read_text(), "new code") as process:
        meter = OutsideMeter(target.Target(process.pid))
        begun = cpu_seconds(process.pid)
        with meter:
            wait_until(
                lambda: cpu_seconds(process.pid) > begun + FUNCTIONS * new_code.SECONDS + 0.02
            )
            seen = names(meter.snapshot().stacks)
    assert len(seen) >= 0.8 * FUNCTIONS
