"""An idle process, as knockers find it: less what the tests' own lines hold the GIL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext

from oracle import Oracle

from gilknocker import KnockKnock


def find_no_contention(knockers: Sequence[KnockKnock], seconds: float, allowed: float) -> None:
    """Check that `knockers`, which run, find the GIL free while this thread sleeps.

    The process is not quite idle: looks meet these lines, which a busy machine may stop in their
    middle, and which take the longer the more knockers there are. A window must have been idle
    enough to say something, so each is twice as long as the one before.
    """
    not_idle: list[float] = []
    while not not_idle or not_idle[-1] >= 0.02:
        assert len(not_idle) < 5, not_idle
        with Oracle() if Oracle.supported()[0] else nullcontext() as oracle:
            for knocker in knockers:
                knocker.reset_contention_metric()
            time.sleep(seconds * 2 ** len(not_idle))
            metrics = [knocker.contention_metric for knocker in knockers]
            not_idle.append(0.0 if oracle is None else oracle.read().held_fraction)
        assert max(metrics) < allowed + 2 * not_idle[-1]
