"""``gilknocker run --stalls``: a program's stalls on its stderr, while they last."""

from __future__ import annotations

import pytest
from needs import needs_gil
from runs import RUN, python

from gilknocker import _core

PROGRAM = "from gilknocker._load import hold_gil; hold_gil(1.0, sleep=True)"

pytestmark = [
    needs_gil,
    pytest.mark.skipif(_core.look_problem() is not None, reason=str(_core.look_problem())),
]


def test_stalls_are_told_of_and_the_report_comes_as_ever() -> None:
    done = python(*RUN, "--stalls", "100ms", "-c", PROGRAM)
    assert done.returncode == 0
    # Any code may stall where a machine has no CPU for it: one of what is told is ours.
    told = [line for line in done.stderr.splitlines() if "has held the GIL for" in line]
    assert any("thread 'MainThread'" in line for line in told)
    assert "knocks" in done.stderr or "waited" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"), [((), True), (("--stalls=60s",), False)], ids=["variable", "both"]
)
def test_the_environment_says_it_too_and_the_command_line_goes_first(
    words: tuple[str, ...], told: bool
) -> None:
    environment = {"GILKNOCKER_STALLS": "100 ms"}
    done = python(*RUN, *words, "-c", PROGRAM, env=environment)
    assert done.returncode == 0
    assert ("has held the GIL for" in done.stderr) is told


@pytest.mark.parametrize(
    ("words", "variable", "message"),
    [
        (("--stalls", "200"), "", "--stalls must be a duration greater than 0 with its unit"),
        (("--stalls=1ms",), "", "--stalls must be from 10 ms to 3600 s, not '1ms'"),
        (("--stalls",), "", "--stalls needs a value"),
        (("--children", "--stalls=1s"), "", "--children watches from outside, and --stalls from"),
        ((), "soon", "GILKNOCKER_STALLS must be a duration greater than 0 with its unit"),
    ],
)
def test_bad_durations(words: tuple[str, ...], variable: str, message: str) -> None:
    after = () if words == ("--stalls",) else ("-c", "pass")
    done = python(*RUN, *words, *after, env={"GILKNOCKER_STALLS": variable})
    assert done.returncode == 2
    assert done.stderr.startswith(f"gilknocker: error: {message}")
