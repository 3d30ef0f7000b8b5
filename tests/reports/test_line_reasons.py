"""What a snapshot with stacks is said to mean: causes that were proven, and the line to blame.

`LOADS` is a table of docs/runner.md. Its figures are those that such loads were seen with.
"""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from needs import needs_gil
from runs import metered
from stories import (
    BACK,
    CAUSES,
    FOUR,
    KEPT,
    MACHINE,
    MAIN,
    MS,
    QUEUE,
    SIXTEEN,
    US,
    counted,
    evenly,
    in_ms,
    looked,
    tell,
)

from gilknocker import Snapshot
from gilknocker.reports.reasons import interpretation

ENCODE = ("JSONEncoder.iterencode", "/usr/lib/python3.11/json/encoder.py", 258)
SPIN = ("spin", "/app/work.py", 9)
READ = ("lets_go", "/app/work.py", 18)
UNKNOWN = "not proven to be native code"
GIVES_WAY = "it gives way as Python code does"
NATIVE = "in native code"


def by_lines(looks_held: int, *lines: tuple[Any, float, float, float]) -> dict[str, Any]:
    """Return stacks of (line, share of the time held; of that waited, proven native)."""
    rows = []
    for line, share, waited, native in lines:
        held_ns = round(share * looks_held) * MS
        frames = (("main", "/app/main.py", 1), line) if line else ()
        rows.append((frames, "t", held_ns, round(waited * held_ns), round(native * held_ns), 0))
    return {"stacks": tuple(rows)}


# load: (its figures, the end of what it is told, the causes named, whether one is all or most)
LOADS: dict[str, tuple[Snapshot, str, set[str], str]] = {
    "idle": (
        looked(0.0, 1900, [4 * US] * 199, **by_lines(9, (SPIN, 1.0, 0.0, 0.0))),
        "is not what slows threads down here.",
        set(),
        "",
    ),
    "one thread in Python code": (
        looked(
            *(0.99, 2400, in_ms(5.1, 5.2, 5.5, 6.3, 7.3, 8.6) * 30, MAIN),
            **by_lines(2376, (SPIN, 1.0, 0.5, 0.0)),
        ),
        f"The line that held it longest is app/work.py:9 spin ({GIVES_WAY}): 100.0 % of the time "
        "held; 100.0 % of the waits were for it.",
        set(),
        "",
    ),
    "one thread in C code, 19 ms a call": (
        looked(
            *(1.0, 1700, evenly(5.1, 23.9, 90), MAIN),
            **by_lines(1700, (ENCODE, 0.98, 0.77, 0.27), (SPIN, 0.02, 0.2, 0.0)),
        ),
        "The line that held it longest is json/encoder.py:258 JSONEncoder.iterencode "
        f"({NATIVE}): 98.0 % of the time held; 99.5 % of the waits were for it.",
        {KEPT},
        "That is code",
    ),
    "one thread in C code, calls of any length": (
        looked(
            *(1.0, 2400, in_ms(6, 9, 48, 63, 81, 115, 142, 350) * 3, MAIN),
            **by_lines(2400, (ENCODE, 0.98, 0.95, 0.81), (SPIN, 0.02, 0.2, 0.0)),
        ),
        f"iterencode ({NATIVE}): 98.0 % of the time held; 99.6 % of the waits were for it.",
        {KEPT},
        "Most of that is code",
    ),
    "two threads in Python code": (
        looked(
            *(0.97, 2400, in_ms(0.2, 3.7, 6.6, 13, 24, 34, 73) * 13, [("a", 50), ("b", 50)]),
            **by_lines(2328, (SPIN, 1.0, 0.6, 0.0)),
        ),
        f"spin ({UNKNOWN}): 100.0 % of the time held; 100.0 % of the waits were for it.",
        {QUEUE, KEPT, BACK},
        "",
    ),
    "four threads in Python code": (
        looked(
            *(0.99, 2700, evenly(1, 20, 80) + [82 * MS] * 15 + [144 * MS] * 2, FOUR),
            **by_lines(2673, (SPIN, 1.0, 0.7, 0.0)),
        ),
        f"spin ({UNKNOWN}): 100.0 % of the time held; 100.0 % of the waits were for it.",
        {QUEUE, KEPT, BACK},
        "",
    ),
    "sixteen threads in Python code": (
        looked(
            *(0.98, 2400, in_ms(1.7, 4.4, 12.5, 35.9, 84.4, 206.6, 278.0) * 3, SIXTEEN),
            **by_lines(2352, (SPIN, 0.998, 0.9, 0.0), (None, 0.002, 0.0, 0.0)),
        ),
        f"spin ({UNKNOWN}): 99.8 % of the time held; 100.0 % of the waits were for it.",
        {QUEUE, KEPT, BACK},
        "",
    ),
    "one thread in Python code and one in C code": (
        looked(
            *(0.93, 2400, in_ms(0.6, 1.2, 6.5, 15.1, 27.9, 39.6, 92.7) * 8, [("C", 63), ("P", 37)]),
            **by_lines(2232, (ENCODE, 0.69, 0.7, 0.145), (SPIN, 0.31, 0.6, 0.0)),
        ),
        f"iterencode ({NATIVE}): 69.0 % of the time held; 72.2 % of the waits were for it.",
        {QUEUE, KEPT, BACK},
        "Some of that is code",
    ),
    "one thread mostly in Python code, and others wait for its C code": (
        looked(
            *(0.95, 10_000, in_ms(0.1, 0.2, 0.3, 5.1, 170, 180, 250) * 10, [("C", 63), ("P", 37)]),
            **by_lines(9500, (SPIN, 0.6, 0.1, 0.0), (ENCODE, 0.4, 0.98, 0.9)),
        ),
        "The line most waited for is json/encoder.py:258 JSONEncoder.iterencode "
        f"({NATIVE}): 40.0 % of the time held; 86.7 % of the waits were for it.",
        {KEPT},
        "Most of that is code",
    ),
    "two threads in C code": (
        looked(
            *(0.99, 2400, in_ms(0.4, 109, 192, 342, 363, 868), [("a", 50), ("b", 50)]),
            **by_lines(2376, (ENCODE, 0.99, 0.9, 0.8), (SPIN, 0.01, 0.5, 0.0)),
        ),
        f"iterencode ({NATIVE}): 99.0 % of the time held; 99.4 % of the waits were for it.",
        {KEPT},
        "Most of that is code",
    ),
    "one thread that lets go often and takes it back": (
        looked(
            *(0.98, 10_000, in_ms(3, 9, 40, 90, 139, 180, 296, 410, 700, 1800) * 2, MAIN),
            **by_lines(9800, (READ, 0.99, 0.8, 0.0), (SPIN, 0.01, 0.2, 0.0)),
        ),
        f"lets_go ({UNKNOWN}): 99.0 % of the time held; 99.7 % of the waits were for it.",
        {KEPT, BACK},
        "",
    ),
    "gevent: four greenlets in Python code": (
        looked(
            *(0.89, 2400, in_ms(0.01, 0.5, 5.1, 8.3, 14, 20.8, 58) * 16, MAIN),
            **by_lines(2136, (SPIN, 0.96, 0.7, 0.0), (("Hub.run", "/g/hub.py", 647), 0.04, 0.6, 0)),
        ),
        f"spin ({UNKNOWN}): 96.0 % of the time held; 96.6 % of the waits were for it.",
        {KEPT, BACK},
        "",
    ),
    "one thread in Python code on a machine that is too busy": (
        looked(
            *(0.99, 2000, evenly(5, 60, 90), MAIN),
            **{"ticks_late": 300, "ticks_missed": 200},
            **by_lines(1980, (SPIN, 1.0, 0.8, 0.0)),
        ),
        f"spin ({UNKNOWN}): 100.0 % of the time held; 100.0 % of the waits were for it.",
        {KEPT, MACHINE},
        "",
    ),
    "threads that wait for input and output": (
        looked(
            *(0.5, 1000, [10 * US] * 100, FOUR),
            **by_lines(500, (SPIN, 0.57, 0.0, 0.0), (READ, 0.15, 0.0, 0.0), (None, 0.28, 0.0, 0.0)),
        ),
        "There is room for more threads.",
        set(),
        "",
    ),
    "the same, and a call of 90 ms now and then": (
        looked(
            *(0.9, 3000, [10 * US] * 100 + [90 * MS] * 9, FOUR),
            **by_lines(2700, (SPIN, 0.7, 0.0, 0.0), (ENCODE, 0.3, 0.99, 0.85)),
        ),
        f"The line most waited for is json/encoder.py:258 JSONEncoder.iterencode ({NATIVE}): "
        "30.0 % of the time held; 100.0 % of the waits were for it.",
        set(),
        "",
    ),
    "too few knocks to say": (
        looked(0.95, 60, in_ms(5, 5, 5, 5), MAIN, **by_lines(57, (SPIN, 1.0, 0.3, 0.0))),
        f"to say how long a thread would have waited for it. The line that held it longest is "
        f"app/work.py:9 spin ({UNKNOWN}): 100.0 % of the time held; 100.0 % of the waits were for "
        "it.",
        set(),
        "",
    ),
}


@pytest.mark.parametrize("load", LOADS)
@pytest.mark.parametrize("method", ["look", "count"])
def test_what_a_load_is_told(load: str, method: str) -> None:
    snapshot, said, causes, verdict = LOADS[load]
    if method == "count":  # and looks, for the stacks
        looks = {name: getattr(snapshot, name) for name in snapshot.to_dict() if "ticks" in name}
        snapshot = counted(snapshot, **looks)
    sentence = interpretation(snapshot)
    assert sentence.endswith(said)
    assert {cause for cause in CAUSES if cause in sentence} == causes
    assert verdict in sentence
    assert ("That may be" in sentence) == (bool(causes) and not verdict)
    assert ("--trace" in sentence) == (len(causes) > 1)


def test_the_table_in_the_docs_has_every_load() -> None:
    page = Path(__file__).parents[2] / "docs" / "runner.md"
    if not page.exists():
        pytest.skip("the docs are not here")
    text = page.read_text(encoding="utf-8")
    assert [load for load in LOADS if f"| with stacks: {load} |" not in text] == []


def test_without_proof_nothing_is_said_to_be_native() -> None:
    for load, (snapshot, *_) in LOADS.items():
        data = snapshot.to_dict()
        for stack in data["stacks"]["stacks"]:
            stack["native_ns"] = 0
        sentence = interpretation(Snapshot.from_dict(data))
        assert NATIVE not in sentence, load
        assert "of that is code" not in sentence, load


def test_what_is_too_many_to_be_kept_apart_is_no_line() -> None:
    others = (((("(others)", "", 0),), "", 900 * MS, 700 * MS, 0, 0),)
    snapshot = tell(["held"] * 1000, in_ms(*[30] * 30), stacks=others)
    assert "The line" not in interpretation(snapshot)
    snapshot = tell(
        ["held"] * 1000, in_ms(*[30] * 30), stacks=(((), "", 900 * MS, 700 * MS, 0, 0),)
    )
    assert "The line" not in interpretation(snapshot)


REAL = {
    "C code": """
        import json, time
        big = [1.5] * 200_000
        end = time.monotonic() + 2
        while time.monotonic() < end: json.dumps(big)
    """,
    "two threads in Python code": """
        import threading, time
        end = time.monotonic() + 2
        def spin():
            while time.monotonic() < end: pass
        threads = [threading.Thread(target=spin) for _ in range(2)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
    """,
    "lets go and takes it back": """
        import os, time
        fd = os.open("/dev/zero", os.O_RDONLY)
        end = time.monotonic() + 2
        def spin():
            while time.monotonic() < end:
                go_on = time.monotonic() + 0.0005
                while time.monotonic() < go_on: pass
                os.read(fd, 1)
        spin()
    """,
}


@needs_gil
@pytest.mark.parametrize("options", [(), ("--trace",)], ids=["looks", "trace"])
@pytest.mark.parametrize("name", REAL)
def test_the_line_of_a_real_load(name: str, options: tuple[str, ...], tmp_path: Path) -> None:
    """How long waits are is the machine's; what is proven is not."""
    (tmp_path / "program.py").write_text(dedent(REAL[name]))
    got = metered("program.py", options=["--stacks", *options], cwd=tmp_path)
    assert got.returncode == 0 and got.stderr == ""
    report = " ".join(got.report.split())
    of_c = name == "C code"
    proves = of_c and sys.version_info >= (3, 11)
    if of_c and options:  # nobody waits for the only thread of a trace, and so nothing is proven
        assert NATIVE not in report
        return
    line = "iterencode (" if of_c else "program.py:"
    assert (line in report) or "hardly anybody had to wait" in report
    assert (f"({NATIVE})" in report) == proves
    assert of_c or f"That is {KEPT}" not in report
