"""`gilknocker show` and `gilknocker compare`, and the arithmetic behind the latter."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import python
from stories import MS, tell

from gilknocker import Snapshot, compare
from gilknocker.commands.report_file import envelope
from gilknocker.reports import comparison, words
from gilknocker.reports.comparison import (
    Difference,
    held_difference,
    percentile_interval,
    wait_difference,
)
from gilknocker.reports.run import Run

BEFORE = tell(["held"] * 95 + ["free"] * 5, [15 * MS] * 90 + [30 * MS] * 10)
AFTER = tell(["held"] * 30 + ["free"] * 70, [10_000] * 95 + [5 * MS] * 5)


def stored(folder: Path, name: str, data: object) -> Path:
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def test_show_a_report_and_a_bare_snapshot(tmp_path: Path) -> None:
    whole = stored(tmp_path, "a.json", envelope(Run(BEFORE, ["x.py", "y"], 3)))
    bare = stored(tmp_path, "b.json", BEFORE.to_dict())
    shown = python("-m", "gilknocker", "show", whole).stdout
    assert shown == words.text(BEFORE, program=["x.py", "y"], exit_status=3)
    assert python("-m", "gilknocker", "show", bare).stdout == words.text(BEFORE)


ANSWERS = (["--help"], ["show", "a.json"], ["compare", "a.json", "a.json"])


def answered_to(folder: Path, words: list[str], output: int) -> tuple[int, str]:
    """Run a command whose answer goes there; return its exit status and what else it said."""
    stored(folder, "a.json", BEFORE.to_dict())
    with open(output, "w") as file:
        done = subprocess.run(
            [sys.executable, "-m", "gilknocker", *words],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ANSWERS)
def test_a_reader_that_has_enough(tmp_path: Path, command: list[str]) -> None:
    """As `gilknocker show FILE | head -1`: no traceback, and not even a line."""
    reading, writing = os.pipe()
    os.close(reading)
    assert answered_to(tmp_path, command, writing) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize("command", ANSWERS)
def test_no_room_for_the_answer(tmp_path: Path, command: list[str]) -> None:
    status, said = answered_to(tmp_path, command, os.open("/dev/full", os.O_WRONLY))
    assert status == 2
    assert said.startswith("gilknocker: error: standard output cannot be written: ")
    assert said.count("\n") == 1


GOOD = envelope(Run(BEFORE, ["x.py"], 0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "is no report of gilknocker: a stored snapshot must be a dict"),
        ({}, "is no report of gilknocker: format"),
        ({**GOOD, "version": 2}, "version must be 1, not 2"),
        ({**GOOD, "version": True}, "version must be 1, not True"),
        ({**GOOD, "processes": {}}, "processes must be a list"),
        ({**GOOD, "processes": [{}]}, "each of processes must have the keys pid, ppid"),
        ({**GOOD, "program": "x.py"}, "program must be a list of strings"),
        ({**GOOD, "program": [1]}, "program must be a list of strings"),
        ({**GOOD, "exit_status": "0"}, "exit_status must be an integer or null"),
        ({**GOOD, "snapshot": {**GOOD["snapshot"], "ticks": -1}}, "ticks must be an integer"),
        ({name: GOOD[name] for name in GOOD if name != "snapshot"}, "must have the key 'snapshot'"),
    ],
)
def test_files_that_are_no_reports(data: Any, message: str, tmp_path: Path) -> None:
    path = stored(tmp_path, "a.json", data)
    for arguments in (["show", path], ["compare", path, path]):
        got = python("-m", "gilknocker", *arguments)
        assert (got.returncode, got.stdout) == (2, "")
        assert got.stderr.startswith("gilknocker: error: ") and got.stderr.count("\n") == 1
        assert message in got.stderr


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.json").write_text("no json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for name, message in (
        ("none.json", "cannot read 'none.json': No such file"),
        (".", "cannot read '.': Is a directory"),
        ("text.json", "'text.json' is no JSON"),
        ("bytes.json", "'bytes.json' is no JSON"),
        ("deep.json", "'deep.json' is no"),
    ):
        got = python("-m", "gilknocker", "show", name, cwd=tmp_path)
        assert got.returncode == 2 and got.stderr.count("\n") == 1 and message in got.stderr


def test_compare(tmp_path: Path) -> None:
    a = stored(tmp_path, "a.json", envelope(Run(BEFORE, ["x.py"], 0)))
    b = stored(tmp_path, "b.json", AFTER.to_dict())
    got = python("-m", "gilknocker", "compare", "a.json", "b.json", cwd=tmp_path)
    assert a.exists() and b.exists() and got.stderr == ""
    assert got.stdout.splitlines() == [
        "A: a.json, 100 ms",
        "B: b.json, 100 ms",
        "            A       B       B - A (95 % interval)",
        "  GIL held  95.0 %  30.0 %  -65.0 (-73.6 to -53.6) points  B is lower",
        "  wait p50  15 ms   10 µs   -15 ms (-15 ms to -15 ms)      B is lower",
        "  wait p90  15 ms   10 µs   -15 ms (-30 ms to -10 ms)      B is lower",
        "  wait p99  30 ms   5.0 ms  -25 ms (no limit to no limit)  no larger than the uncertainty",
        "The uncertainty is that of measuring these two runs; how much runs differ by themselves,",
        "only more runs can tell.",
    ]


def test_compare_what_has_no_figures() -> None:
    text = str(compare(tell(["disabled"] * 9, []), AFTER))
    assert "unknown: no looks, or no GIL" in text and text.count("unknown: no knocks") == 3
    assert held_difference(tell([], []), AFTER) is None
    assert wait_difference(AFTER, tell([], []), 50) is None
    other = tell(["held"] * 50, [MS], method="knock")
    assert "Note: measured by different methods, 'knock' and 'look'." in str(compare(other, AFTER))


def test_held_difference_is_newcombes() -> None:
    """The worked example (a) of Newcombe (1998), table II, method 10: 56/70 - 48/80."""
    a = tell(["held"] * 48 + ["free"] * 32, [])
    b = tell(["held"] * 56 + ["free"] * 14, [])
    difference = held_difference(a, b)
    assert difference is not None
    assert round(difference.low, 4) == 0.0524 and round(difference.high, 4) == 0.3339
    assert difference.is_certain
    back = held_difference(b, a)
    assert back is not None and math.isclose(back.low, -difference.high)


def test_difference_with_itself_is_none() -> None:
    for same in (held_difference(BEFORE, BEFORE), wait_difference(BEFORE, BEFORE, 90)):
        assert same is not None
        assert same.low <= 0 == same.change <= same.high and not same.is_certain


def test_unbounded_intervals_stay_so() -> None:
    difference = Difference(5.0, (0.0, math.inf), 1.0, (0.5, 2.0))
    assert difference.low == -math.inf and math.isfinite(difference.high)


@pytest.mark.parametrize(
    ("n", "q", "ranks"),
    [
        # By hand: P(B < 2) = 11/1024 <= 0.025 < P(B < 3) = 56/1024 of ten fair coins.
        (10, 0.5, (2, 9)),
        (100, 0.5, (40, 61)),  # Conover, table A3
        (1, 0.5, (0, 2)),
        (20, 0.99, (19, 21)),
        (300, 0.99, (293, 301)),
        (5, 0.0, (0, 1)),
        (5, 1.0, (5, 6)),
    ],
)
def test_ranks(n: int, q: float, ranks: tuple[int, int]) -> None:
    assert comparison._ranks(n, q) == ranks


@given(st.integers(1, 200), st.sampled_from([0.01, 0.1, 0.5, 0.9, 0.99]))
def test_ranks_against_sums_of_the_binomial(n: int, q: float) -> None:
    def below(k: int) -> float:
        return sum(math.comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(k))

    lower, upper = comparison._ranks(n, q)
    assert lower == max(k for k in range(n + 1) if below(k) <= 0.025)
    assert upper == min((k for k in range(n + 1) if below(k) >= 0.975), default=n + 1)


def test_ranks_of_many() -> None:
    n = 10_000_000
    lower, upper = comparison._ranks(n, 0.5)
    spread = 1.959964 * math.sqrt(n) / 2
    assert abs(lower - (n / 2 - spread)) < 2 and abs(upper - (n / 2 + spread)) < 2


def test_percentile_interval_covers_the_truth() -> None:
    draw = random.Random(1)
    covered = 0
    for _ in range(300):
        waits = [round(draw.expovariate(1e-6)) for _ in range(100)]
        low, high = percentile_interval(tell([], waits), 50)
        covered += low <= math.log(2) * 1e6 <= high
    assert covered >= 0.93 * 300


def test_percentile_interval_holds_the_percentile() -> None:
    snapshot: Snapshot = tell([], [MS, 2 * MS, 3 * MS])
    for percent in (0, 1, 50, 99, 100):
        low, high = percentile_interval(snapshot, percent)
        assert low <= snapshot.percentile(percent) <= high
