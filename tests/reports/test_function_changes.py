"""What `compare` says of functions, where both snapshots have stacks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from runs import python
from stories import MS, tell

from gilknocker import Snapshot, compare
from gilknocker.reports.comparison import held_difference
from gilknocker.reports.function_changes import function_changes

MAIN = ("main", "/app/main.py", 10)
WORK = ("Worker.run", "/app/work.py", 20)
DUMP = ("iterencode", "/usr/lib/python3.11/json/encoder.py", 261)
MOVED = ("iterencode", "/opt/python3.12/json/encoder.py", 263)


def with_functions(looks: int, held: dict[Any, int], **changes: Any) -> Snapshot:
    """Return a snapshot of so many looks of 1 ms, of which each frame had so many."""
    stacks = tuple(
        ((MAIN, frame) if frame else (), "worker", count * MS, 0, 0, 0)
        for frame, count in held.items()
    )
    busy = sum(held.values())
    ticks = ["held"] * busy + ["free"] * (looks - busy)
    return tell(ticks, [5 * MS] * 10, **{"stacks": stacks, **changes})


BEFORE = with_functions(1000, {DUMP: 500, WORK: 200, None: 20, MAIN: 3})
AFTER = with_functions(500, {MOVED: 50, WORK: 105, ("new", "/app/new.py", 1): 40, None: 5})


def test_each_is_the_difference_of_two_proportions() -> None:
    changes = function_changes(BEFORE, AFTER)
    assert changes is not None
    looks = {"iterencode": (500, 50), "new": (0, 40), "Worker.run": (200, 105), "main": (3, 0)}
    assert [one.function for one in changes] == list(looks)  # the largest first, no unknown
    for change in changes:
        a, b = looks[change.function]
        alike = held_difference(with_functions(1000, {WORK: a}), with_functions(500, {WORK: b}))
        assert alike is not None
        for name in ("a", "b", "low", "high"):
            assert getattr(change.held, name) == pytest.approx(getattr(alike, name))
        assert change.seconds == pytest.approx((a / 1e3, b / 1e3))


def test_a_file_that_moved_is_the_same_only_where_it_is_clear_which() -> None:
    changes = function_changes(BEFORE, AFTER)
    assert changes is not None
    assert [one.file for one in changes if one.function == "iterencode"] == [DUMP[1]]
    third = ("iterencode", "/elsewhere/json/encoder.py", 1)
    many = function_changes(BEFORE, with_functions(500, {MOVED: 50, third: 5}))
    assert many is not None
    assert sorted(one.file for one in many if one.function == "iterencode") == sorted(
        [DUMP[1], MOVED[1], third[1]]
    )


def test_a_window_and_a_merge() -> None:
    whole = function_changes(BEFORE, AFTER + AFTER)
    once = function_changes(BEFORE, AFTER)
    assert whole is not None and once is not None
    for one, both in zip(once, whole, strict=True):
        assert both.held.b == pytest.approx(one.held.b)
        assert both.seconds[1] == pytest.approx(2 * one.seconds[1])
        assert both.held.high - both.held.low < one.held.high - one.held.low


def test_text() -> None:
    text = str(compare(BEFORE, AFTER))
    lines = text[text.index("Functions that held") :].splitlines()
    assert lines[:3] == [
        "Functions that held the GIL for more or less of the time:",
        "  iterencode (json/encoder.py)  50.0 %, 500 ms  10.0 %, 50.0 ms  "
        "-40.0 (-43.9 to -35.7) points  B is lower",
        "  new (app/new.py)              0.0 %, 0 s      8.0 %, 40.0 ms   "
        "+8.0 (+5.9 to +10.7) points    B is higher",
    ]
    assert lines[3].startswith("The uncertainty is that of")  # the others are within it
    assert "No function held the GIL for more or less" in str(compare(BEFORE, BEFORE))
    only = str(compare(BEFORE, with_functions(9, {}, stacks=None)))
    assert "Note: functions are not compared: only A has stacks." in only
    assert "unction" not in str(compare(tell(["held"] * 50, []), tell(["held"] * 50, [])))
    assert "iterencode (json/encoder.py)" in re.sub(
        r"<[^>]*>", "", compare(BEFORE, AFTER)._repr_html_()
    )
    hostile = with_functions(500, {("<script>", "<b>/x\n", 1): 400})
    assert "<script" not in compare(BEFORE, hostile)._repr_html_()


def test_where_nothing_is_known() -> None:
    empty = with_functions(0, {})
    assert function_changes(empty, AFTER) is None
    assert compare(empty, AFTER).to_dict()["functions"] is None


def test_as_json_on_the_command_line(tmp_path: Path) -> None:
    for name, snapshot in (("a", BEFORE), ("b", AFTER)):
        (tmp_path / f"{name}.json").write_text(json.dumps(snapshot.to_dict()))
    words = ("-m", "gilknocker", "compare", "a.json", "--json", "c.json", "b.json")
    got = python(*words, cwd=tmp_path)
    assert (got.returncode, got.stderr) == (0, "")
    assert "iterencode (json/encoder.py)" in got.stdout
    stored = json.loads((tmp_path / "c.json").read_text())
    expected = compare(BEFORE, AFTER, names=("a.json", "b.json")).to_dict()
    assert stored == json.loads(json.dumps(expected))
    assert (stored["format"], stored["version"]) == ("gilknocker.comparison", 1)
    first = stored["functions"][0]
    assert (first["function"], first["file"]) == DUMP[:2]
    assert first["held_fraction"]["change"] == pytest.approx(-0.4)
    assert first["held_fraction"]["certain"] is True
    assert first["held_seconds"] == pytest.approx([0.5, 0.05])
    assert stored["waits_ns"]["p99"]["interval"] == [None, None]  # of so few there is no bound


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.json"], "compare needs two files, A B"),
        (["a.json", "b.json", "c.json"], "compare needs two files, A B"),
        (["--json"], "--json needs a value"),
        (["--json=", "a", "b"], "--json needs the name of a file"),
        (["--html", "a", "b"], "compare has no option --html"),
        (["--json", "no/such/c.json", "a", "b"], "--json cannot write 'no/such/c.json': "),
    ],
)
def test_bad_words(words: list[str], message: str, tmp_path: Path) -> None:
    got = python("-m", "gilknocker", "compare", *words, cwd=tmp_path)
    assert got.returncode == 2
    assert got.stderr.startswith(f"gilknocker: error: {message}")
