"""Runs of pytest inside a test, on tests of its own: what the plugin's tests share."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

# A run in this process forgets what it imported, and compiled modules cannot be imported twice.
import numpy
import pytest

from gilknocker import _core, snapshot, testing
from gilknocker.integrations.pytest import fixtures, limits, meter, session
from gilknocker.meters import knock_knock, stall_watch
from gilknocker.snapshot import histogram, value

KEPT = (
    numpy,
    _core,
    histogram,
    knock_knock,
    stall_watch,
    snapshot,
    value,
    testing,
    fixtures,
    limits,
    meter,
    session,
)

# What nothing here is about, and takes time.
WITHOUT = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:hypothesispytest",
    "-p",
    "no:benchmark",
    "-p",
    "no:randomly",
)

NEVER = 2.0  # of a share
SECONDS = 300


def run(
    pytester: pytest.Pytester, *words: str, separately: bool = False, too_busy: float = NEVER
) -> pytest.RunResult:
    """Run pytest in this process, or in one of its own.

    In this process a machine is too busy for a verdict where that share of our looks comes late:
    never, so that what exceeds a limit always fails. What keeps to a tight one is run with
    ``too_busy=limits.TOO_BUSY``: there a busy machine is no fault of the test.
    """
    if separately:
        return pytester.runpytest_subprocess(*WITHOUT, *words, timeout=SECONDS)
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.resetwarnings()  # to its own filters, not those of the run that we are in
        patch.setattr(limits, "TOO_BUSY", too_busy)
        return pytester.runpytest_inprocess(*WITHOUT, *words)


def stored(path: Path) -> dict[str, dict[str, Any]]:
    """Return the figures in a file by the names of the tests, without the module's."""
    content = json.loads(path.read_text())
    assert (content["format"], content["version"]) == ("gilknocker.pytest", 1)
    return {test["nodeid"].partition("::")[2]: test for test in content["tests"]}
