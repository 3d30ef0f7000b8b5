"""What a snapshot is said to mean, for loads of known kind: a cause only if no other is left.

`LOADS` is the table of docs/runner.md. Its figures are like those that such loads were seen with.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from needs import needs_gil, needs_tracer
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
    traced,
)

from gilknocker import Snapshot
from gilknocker.reports.reasons import interpretation

STARVED = (3, 9, 40, 90, 139, 180, 296, 410, 700, 1800)

# load: (its figures, what it is told, the causes named: no others)
LOADS: dict[str, tuple[Snapshot, str, set[str]]] = {
    "nothing much": (looked(0.05, 1000, [2 * US] * 100), "is not what slows threads down", set()),
    "idle": (looked(0.0, 1900, [4 * US] * 199), "is not what slows threads down", set()),
    "two pairs of threads that hand a byte to and fro": (
        looked(0.05, 2300, [1500] * 240 + [100 * US] * 9 + [6 * MS], FOUR),
        "The GIL was free most of the time: waiting for it is not what slows",
        set(),
    ),
    "idle, with pure Python now and then": (
        looked(0.12, 1000, [2 * US] * 88 + [5 * MS] * 12, MAIN),
        "free most of the time, though one in ten that asked for it waited 5.0 ms or more",
        set(),
    ),
    "one thread in Python code": (
        looked(0.99, 1000, [5 * MS] * 95 + [6 * MS] * 5, MAIN),
        "one thread at a time that runs Python code keeps it",
        set(),
    ),
    "one thread in C code, 19 ms a call": (
        # json.dumps in a loop: a wait lasts to the end of a call that began 5 ms before or more
        looked(1.0, 1700, evenly(5.1, 23.9, 90), MAIN, knocks_missed=80),
        "MainThread had it nearly all of the time it was held. That is code that keeps it",
        {KEPT},
    ),
    "df.apply: Python code, and one long wait": (
        looked(0.99, 17_000, [5 * MS + 100 * US] * 1483 + [161 * MS], MAIN, knocks_missed=216),
        "one thread at a time that runs Python code keeps it",
        set(),
    ),
    "one C call of 96 ms": (
        looked(1.0, 96, [94 * MS], MAIN, knocks_missed=9),
        "waited up to 94 ms, most of the time there was: 9 knocks could not even be made",
        {KEPT, BACK},
    ),
    "one thread that lets go often and takes it back": (
        # computes 0.3 ms, reads a byte, over and over
        looked(
            0.98, 10_000, [w * MS for w in (3, 9, 40, 90, 139, 180, 296, 410, 700, 1800)] * 3, MAIN
        ),
        "would have waited up to 1.8 s (18 of 30 waits took 100 ms or more)",
        {KEPT, BACK},
    ),
    "the same, less badly": (
        looked(0.98, 10_000, [w * MS // 20 for w in STARVED] * 10, MAIN),
        "MainThread had it nearly all",
        {KEPT, BACK},
    ),
    "four threads in Python code": (
        looked(0.99, 2700, evenly(1, 20, 80) + [82 * MS] * 15 + [144 * MS] * 2, FOUR),
        "4 threads had it by turns. That may be threads that queue up",
        {QUEUE, KEPT, BACK},
    ),
    "two threads in Python code": (
        looked(0.97, 2400, in_ms(0.2, 3.7, 6.6, 13, 24, 34, 73) * 20, [("a", 50), ("b", 50)]),
        "2 threads had it by turns. That may be threads that queue up",
        {QUEUE, KEPT, BACK},
    ),
    "sixteen threads in Python code": (
        looked(0.98, 5500, in_ms(1.9, 5.2, 9.2, 25, 132, 251, 1414) * 11, SIXTEEN),
        "15 threads had it by turns. That may be threads that queue up",
        {QUEUE, KEPT, BACK},
    ),
    "one thread in Python code and one in C code": (
        looked(0.93, 2300, in_ms(1.9, 7.1, 18, 40, 64, 110, 154) * 10, [("C", 63), ("Py", 37)]),
        "2 threads had it by turns. That may be threads that queue up",
        {QUEUE, KEPT, BACK},
    ),
    "gevent: four greenlets in Python code": (
        # the hub polls, and lets go of it, after each turn
        looked(0.86, 3200, in_ms(0.01, 0.5, 9.2, 14, 20, 23, 24, 28) * 25, MAIN),
        "MainThread had it nearly all of the time it was held",
        {KEPT, BACK},
    ),
    "two threads in C code": (
        looked(0.97, 2600, evenly(2, 38, 120) + [64 * MS] * 13, [("a", 50), ("b", 50)]),
        "2 threads had it by turns",
        {QUEUE, KEPT, BACK},
    ),
    "nothing is known of who": (
        looked(1.0, 1700, evenly(5.1, 23.9, 90)),
        "not given up soon",
        {QUEUE, KEPT, BACK},
    ),
    "one thread in Python code on a machine that is too busy": (
        looked(0.99, 2000, evenly(5, 60, 90), MAIN, ticks_late=300, ticks_missed=200),
        "MainThread had it nearly all",
        {KEPT, MACHINE},
    ),
    "threads that wait for input and output": (
        looked(0.5, 1000, [10 * US] * 100, FOUR),
        "handed over quickly: 90 % of the waits took at most 10 µs. There is room for more",
        set(),
    ),
    "the same, and a call of 90 ms now and then": (
        looked(0.9, 3000, [10 * US] * 100 + [90 * MS] * 9, FOUR, knocks_missed=80),
        "a thread that asks at any time would have waited in 27.0 % of it",
        set(),
    ),
    "too few knocks to say": (looked(0.95, 60, [5 * MS] * 4, MAIN), "4 knocks: too few", set()),
    "too few looks to say": (looked(0.95, 30, [5 * MS] * 4, MAIN), "Too short to say", set()),
}


@pytest.mark.parametrize("load", LOADS)
def test_what_a_load_is_told(load: str) -> None:
    snapshot, said, causes = LOADS[load]
    sentence = interpretation(snapshot)
    assert said in sentence
    assert {cause for cause in CAUSES if cause in sentence} == causes
    # One cause is a statement; several are a question, for which there is a better tool.
    assert ("That may be" in sentence) == ("--trace" in sentence) == (len(causes) > 1)


@pytest.mark.parametrize("load", LOADS)
def test_what_a_load_is_told_that_was_counted(load: str) -> None:
    snapshot, said, causes = LOADS[load]
    sentence = interpretation(counted(snapshot))
    if "looks" in load:  # how many does not matter
        assert "4 knocks: too few" in sentence
        return
    assert said.replace("That is", "That may be") in sentence
    # Nobody looked, and so nobody knows how busy the machine was.
    expected = causes | {MACHINE} if causes else causes
    assert {cause for cause in CAUSES if cause in sentence} == expected
    assert ("That may be" in sentence) == ("--trace" in sentence) == (len(expected) > 1)


def test_the_outlier_is_mentioned_and_decides_nothing() -> None:
    snapshot, *_ = LOADS["df.apply: Python code, and one long wait"]
    assert interpretation(snapshot).endswith(
        "1 of 1484 waits took 100 ms or more: too few to say why."
    )


@pytest.mark.parametrize("holders", [[("main", 89), ("other", 11)], [("main", 85)]], ids=str)
def test_a_thread_is_alone_only_if_the_looks_say_so(holders: list[tuple[str, int]]) -> None:
    sentence = interpretation(looked(1.0, 1700, evenly(5.1, 23.9, 90), holders))
    assert QUEUE in sentence and "nearly all" not in sentence


def test_the_table_in_the_docs_has_every_load() -> None:
    page = Path(__file__).parents[2] / "docs" / "runner.md"
    if not page.exists():
        pytest.skip("the docs are not here")
    text = page.read_text(encoding="utf-8")
    assert [load for load in LOADS if f"| {load} |" not in text] == []
    assert [load for load in TRACES if f"| {load} |" not in text] == []


SECOND = 10**9
ENCODE = (("<module>", "app.py", 4), ("iterencode", "/usr/lib/json/encoder.py", 261))

TRACES: dict[str, tuple[Snapshot, str, set[str]]] = {
    "traced: hardly any waits": (
        traced([100 * US] * 1000, [10 * US] * 20, 4, FOUR),
        "hardly anybody had to wait",
        set(),
    ),
    "traced: four threads in Python code": (
        traced([5 * MS] * 1990, [15 * MS] * 1980, 4, FOUR),
        "they were in each other's way",
        set(),
    ),
    "traced: one thread in C code, 19 ms a call": (
        traced([19 * MS] * 520, [17 * MS] * 500, 2, [("MainThread", 99), ("worker", 1)]),
        "it was held for 10 ms or more at a stretch, up to 19 ms",
        {KEPT, MACHINE},
    ),
    "traced: one thread that lets go often and takes it back": (
        traced([300 * US] * 32_000, [200 * MS] * 45, 2, [("MainThread", 99), ("worker", 1)]),
        "MainThread had it nearly all of the time it was held, and let go of it often",
        {BACK},
    ),
    "traced: the same, and retakes were counted": (
        traced(
            *([300 * US] * 32_000, [200 * MS] * 45, 2, [("MainThread", 99), ("worker", 1)]),
            **{"wanted_releases": 1900, "retakes": 1897, "passed_over_ns": 9000 * MS},
        ),
        "MainThread let go of it 1,900 times while another waited, and took it back 1,897 times "
        "before that one was awake: waits of 9.0 s in all, up to 200 ms",
        set(),
    ),
    "traced: the same, with its stack": (
        traced(
            *([300 * US] * 32_000, [200 * MS] * 45, 2, [("MainThread", 99), ("worker", 1)]),
            **{"wanted_releases": 1900, "retakes": 1897, "passed_over_ns": 9000 * MS},
            _stacks=(((("read", "/x/a.py", 3),), "a", 10 * SECOND, 8 * SECOND, 0, 7 * SECOND),),
        ),
        "of the time held; others waited 9.0 s for that, 7.9 s of it after it had taken the GIL "
        "back.",
        set(),
    ),
    "traced: threads that hand it over, and retakes that nobody minds": (
        traced(
            *([300 * US] * 32_000, [50 * US] * 9_000 + [30 * MS] * 9, 2, FOUR),
            **{"wanted_releases": 9000, "retakes": 5000, "passed_over_ns": 400 * MS},
        ),
        "they were in each other's way",
        set(),
    ),
    "traced: one thread in C code, with its stack": (
        traced(
            *([19 * MS] * 520, [17 * MS] * 500, 2, [("MainThread", 99), ("worker", 1)]),
            _stacks=(
                (ENCODE, "MainThread", 6 * SECOND, 9 * SECOND, 3 * SECOND, 0),
                ((("spin", "a.py", 3),), "worker", 4 * SECOND, 1 * SECOND, 0, 0),
            ),
        ),
        "The line that held it longest is json/encoder.py:261 iterencode (in native code): 60.0 % "
        "of the time held; others waited 7.7 s for that.",
        {KEPT},
    ),
    "traced: two threads in Python code, with their stacks": (
        traced(
            *([5 * MS] * 1990, [5 * MS] * 1980, 2, [("a", 50), ("b", 50)]),
            _stacks=(((("spin", "/x/a.py", 3),), "a", 10 * SECOND, 10 * SECOND, 0, 0),),
        ),
        "releases the GIL. The line that held it longest is x/a.py:3 spin (it gives way as Python "
        "code does): 100.0 % of the time",
        set(),
    ),
    "traced: Python code, and one long hold": (
        traced([5 * MS] * 1900 + [161 * MS], [5 * MS] * 1900, 2, FOUR),
        "The longest hold took 161 ms: nobody asked then, or it was code that keeps it",
        {KEPT},
    ),
}


@pytest.mark.parametrize("load", TRACES)
def test_what_a_trace_is_told(load: str) -> None:
    snapshot, said, causes = TRACES[load]
    sentence = interpretation(snapshot)
    assert said in sentence
    assert {cause for cause in CAUSES if cause in sentence} == causes


REAL = {
    "json.dumps in a loop": """
        import json, time
        big = [1.5] * 200_000
        end = time.monotonic() + 2
        while time.monotonic() < end: json.dumps(big)
    """,
    "Python code, and one long wait": """
        import time
        from gilknocker.testing import hold_gil
        def spin():
            end = time.monotonic() + 1.5
            while time.monotonic() < end: pass
        spin(); hold_gil(0.161); spin()
    """,
    "one call": "from gilknocker.testing import hold_gil; hold_gil(1)",
    "lets go and takes it back": """
        import os, time
        fd = os.open("/dev/zero", os.O_RDONLY)
        end = time.monotonic() + 2
        while time.monotonic() < end:
            go_on = time.monotonic() + 0.0005
            while time.monotonic() < go_on: pass
            os.read(fd, 1)
    """,
}
SPIN = """
    import json, threading, time
    end = time.monotonic() + 1.5
    def spin():
        while time.monotonic() < end: pass
    def dump(big=[1.5] * 40_000):
        while time.monotonic() < end: json.dumps(big)
    def run(*targets):
        threads = [threading.Thread(target=target) for target in targets]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
"""
# load: (its program, causes that it does not have, causes that are not all of it)
REAL_OF_MANY = {
    "two threads in Python code": (f"{SPIN}    run(spin, spin)", set(), {KEPT, BACK}),
    "sixteen threads in Python code": (f"{SPIN}    run(*[spin] * 16)", set(), {KEPT, BACK}),
    "one thread in Python code and one in C code": (f"{SPIN}    run(spin, dump)", set(), {BACK}),
    "idle": ("import time; time.sleep(1)", CAUSES, CAUSES),
    "two pairs of threads that hand a byte to and fro": (
        f"""{SPIN}
    import os
    def play(r, w):
        while time.monotonic() < end:
            os.write(w, b"x"); os.read(r, 1)
        os.write(w, b"x" * 9)
    (a, b), (c, d), (e, f), (g, h) = [os.pipe() for _ in range(4)]
    run(*[lambda r=r, w=w: play(r, w) for r, w in ((a, d), (c, b), (e, h), (g, f))])
    """,
        set(),
        {KEPT},
    ),
    "gevent: four greenlets in Python code": (
        """
    from gevent import monkey; monkey.patch_all()
    import gevent, time
    end = time.monotonic() + 1.5
    def spin():
        while time.monotonic() < end: sum(range(2000)); gevent.sleep(0)
    gevent.joinall([gevent.spawn(spin) for _ in range(4)])
    """,
        {QUEUE},
        {KEPT},
    ),
}


def told(program: str, tmp_path: Path, *options: str) -> str:
    (tmp_path / "program.py").write_text(dedent(program))
    got = metered("program.py", options=options, cwd=tmp_path)
    assert got.returncode == 0 and got.stderr == ""
    return " ".join(got.report.split())


@needs_gil
@pytest.mark.parametrize("name", REAL)
def test_no_wrong_cause_for_a_real_load(name: str, tmp_path: Path) -> None:
    """Wide bounds: how long a wait is on a busy machine, and how many, is the machine's."""
    report = told(REAL[name], tmp_path)
    assert QUEUE not in report  # one thread
    assert "too few to say how long" not in report
    if name == "lets go and takes it back":
        assert f"That is {KEPT}" not in report
    if name == "Python code, and one long wait":
        assert "would have waited up to 16" not in report


@needs_gil
@pytest.mark.parametrize("name", REAL_OF_MANY)
def test_no_wrong_cause_for_a_load_of_many(name: str, tmp_path: Path) -> None:
    """Which of these is all of it nobody can know here, nor what the machine adds."""
    program, none_of, not_all = REAL_OF_MANY[name]
    if "gevent" in name:
        pytest.importorskip("gevent")
    report = told(program, tmp_path)
    assert {cause for cause in none_of if cause in report} == set()
    assert {cause for cause in not_all if f"That is {cause}" in report} == set()


@needs_gil
@needs_tracer
def test_a_trace_does_not_take_short_holds_for_c_code(tmp_path: Path) -> None:
    """Short unless the machine took the CPU from whoever held it: the program says how often."""
    program = """
        import os, threading, time
        def wait():
            while True: time.sleep(0.0002)
        threading.Thread(target=wait, daemon=True).start()
        fd = os.open("/dev/zero", os.O_RDONLY)
        spent = []
        end = time.monotonic() + 2
        while time.monotonic() < end:
            begun = time.monotonic()
            while time.monotonic() < begun + 0.0005: pass
            spent.append(time.monotonic() - begun)
            os.read(fd, 1)
        print(sum(one for one in spent if one > 0.009) / sum(spent))
    """
    (tmp_path / "program.py").write_text(dedent(program))
    got = metered("program.py", options=["--trace"], cwd=tmp_path)
    assert got.returncode == 0 and got.stderr == ""
    long_holds = float(got.stdout)
    assert f"That may be {KEPT}" not in " ".join(got.report.split()) or long_holds > 0.4
