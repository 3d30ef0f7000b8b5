"""What reports make of stacks: lines in words, and files for the tools that draw them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from stories import MS, tell

from gilknocker import Snapshot
from gilknocker.reports.flame import flame
from gilknocker.reports.stack_files import collapsed, speedscope
from gilknocker.reports.stack_lines import costly_lines
from gilknocker.reports.words import text

MAIN = ("main", "/app/main.py", 10)
WORK = ("Worker.run", "/app/work.py", 20)
DUMP = ("iterencode", "/usr/lib/python3.12/json/encoder.py", 261)
HOSTILE = ("</script><b>;\n", "a;b\n.py", 1)


def with_stacks(*rows: tuple[Any, ...]) -> Snapshot:
    """Return one with these (frames, thread, held, waited, native, retaken), in looks of 1 ms."""
    stacks = tuple((*row[:2], *(looks * MS for looks in (*row[2:], 0)[:4])) for row in rows)
    return tell(["held"] * 800 + ["free"] * 200, [5 * MS] * 10, stacks=stacks)


@pytest.fixture
def some() -> Snapshot:
    return with_stacks(
        ((MAIN, WORK, DUMP), "worker", 500, 30, 40),
        ((MAIN, WORK), "worker", 180, 10, 0),
        ((MAIN, WORK, DUMP), "MainThread", 100, 0, 0),
        ((), "", 16, 0, 0),
        ((MAIN,), "MainThread", 4, 0, 0),
    )


def test_lines_that_cost_most(some: Snapshot) -> None:
    assert costly_lines(some) == [
        "75.0 % json/encoder.py:261 iterencode, in native code; 75.0 % of the waits were for it",
        "22.5 % app/work.py:20 Worker.run; 25.0 % of the waits were for it",
        "2.0 % unknown",
    ]
    assert len(costly_lines(some, most=1)) == 2
    retaken = with_stacks(((MAIN,), "worker", 500, 40, 0, 30), ((WORK,), "worker", 300, 10, 0, 0))
    assert costly_lines(retaken, most=1) == [
        "62.5 % app/main.py:10 main; 80.0 % of the waits were for it (60.0 % after retakes)"
    ]


def test_the_card_has_them(some: Snapshot) -> None:
    fragment = some._repr_html_()
    shown = re.sub(r"<[^>]*>", "", fragment)
    assert "Lines that held itjson/encoder.py:261 iterencode  75.0 %in native code; " in shown
    assert "app/work.py:20 Worker.run  22.5 %25.0 % of the waits were for it2.0 % unknown" in shown
    assert 'title="/app/work.py:20 Worker.run"' in fragment
    assert "by line" not in shown  # once is enough
    assert "Lines that held it" not in tell(["held"] * 100, [])._repr_html_()
    hostile = with_stacks(((HOSTILE,), "x", 10, 0, 0))._repr_html_()
    assert "<script" not in hostile and "</script" not in hostile


def test_the_report_has_them(some: Snapshot) -> None:
    lines = text(some).splitlines()
    [first] = [k for k, line in enumerate(lines) if line.startswith("  by line")]
    assert "json/encoder.py:261 iterencode" in lines[first]
    assert "app/work.py:20" in lines[first + 1]
    assert "by line" not in text(tell(["held"] * 100, []))


def test_without_stacks_there_are_no_lines() -> None:
    snapshot = tell(["held"] * 100, [])
    assert costly_lines(snapshot) == []
    assert collapsed(snapshot) == ""
    assert json.loads(speedscope(snapshot))["profiles"] == []
    assert "Nobody waited" in flame(snapshot)


def test_collapsed_lines_are_whole_micros_that_sum_to_the_time_held(some: Snapshot) -> None:
    rows = [line.rpartition(" ") for line in collapsed(some).splitlines()]
    assert sum(int(weight) for *_, weight in rows) == pytest.approx(1e6 * some.held_seconds, abs=5)
    assert rows[0][0].split(";") == [
        "thread worker",
        "main (/app/main.py:10)",
        "Worker.run (/app/work.py:20)",
        "iterencode (/usr/lib/python3.12/json/encoder.py:261)",
        "(native code)",
    ]
    assert "(unknown)" in [names for names, *_ in rows]


def test_names_cannot_break_a_collapsed_line() -> None:
    [line] = collapsed(with_stacks(((HOSTILE,), "a;b\n", 5, 0, 0))).splitlines()
    assert line.count(";") == 1
    assert re.fullmatch(r".* \d+", line)


def test_speedscope_has_a_profile_for_each_thread(some: Snapshot) -> None:
    content = json.loads(speedscope(some, ["app.py"]))
    assert content["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert content["name"] == "GIL held by app.py"
    assert [profile["name"] for profile in content["profiles"]] == [
        "worker",
        "MainThread",
        "thread unknown",
    ]
    frames = content["shared"]["frames"]
    held = 0
    for profile in content["profiles"]:
        assert profile["unit"] == "microseconds" and profile["type"] == "sampled"
        assert len(profile["samples"]) == len(profile["weights"])
        assert profile["endValue"] == sum(profile["weights"])
        assert all(0 <= k < len(frames) for sample in profile["samples"] for k in sample)
        held += profile["endValue"]
    assert held == pytest.approx(1e6 * some.held_seconds, abs=5)
    assert {"name": "main", "file": "/app/main.py", "line": 10} in frames


def nodes_of(page: str) -> list[list[Any]]:
    [data] = re.findall(r"^const nodes = (\[.*\])\.map\(", page, re.MULTILINE)
    nodes: list[list[Any]] = json.loads(data)
    return nodes


def test_a_flame_graph_s_bars_sum_up(some: Snapshot) -> None:
    page = flame(some, ["app.py", "<x>"])
    nodes = nodes_of(page)
    assert nodes[0][0] == "all threads"
    assert nodes[0][1] == pytest.approx(1e6 * some.held_seconds, abs=5)
    assert nodes[0][2] == pytest.approx(some.wait_total_ns / 1e3, abs=5)
    for k, (_, held, waited, _, parent) in enumerate(nodes):
        assert -1 <= parent < k or k == 0
        below = [node for node in nodes if node[4] == k]
        assert sum(node[1] for node in below) <= held + 5
        assert sum(node[2] for node in below) <= waited + 5
    assert "GIL held by app.py &lt;x&gt;" in page
    assert "http" not in page  # needs nothing else


def test_names_that_are_not_utf_8() -> None:
    """Cut in the middle of a letter, as the system cuts the name of a thread."""
    frame = ("f", "/caf\udce9/a.py", 1)
    snapshot = with_stacks(((frame,), "threa\udcc3", 5, 0, 0))
    page = flame(snapshot, ["a.py", "\udcff"])
    assert "<h1>GIL held by a.py  </h1>" in page
    assert "thread threa\udcc3" in [node[0] for node in nodes_of(page)]
    assert page.encode() and speedscope(snapshot, ["\udcff"]).encode()


def test_a_flame_graph_of_hostile_names_and_of_deep_stacks() -> None:
    deep = tuple(("f", "deep.py", line) for line in range(1, 2_001))
    page = flame(with_stacks(((HOSTILE,), "</script>", 5, 0, 0), (deep, "t", 5, 0, 0)))
    assert page.count("</script>") == 1
    names = [node[0] for node in nodes_of(page)]
    assert "</script><b>;\n (a;b\n.py:1)" in names
    assert len(names) > 2_000
