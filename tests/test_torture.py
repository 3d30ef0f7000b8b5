"""The torture script sees what it is there to see: each kind of bad end is one that it counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

TORTURE = Path(__file__).parent / "torture"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(TORTURE)
    import run

    return run


@pytest.mark.parametrize(
    ("life", "problem"),
    [
        ("import os; os.abort()", "status -6, not 0"),
        ("raise SystemExit(3)", "status 3, not 0"),
        ("import sys; print('FATAL', file=sys.stderr)", "it said something"),
        ("print('a word')", "it said something"),
        ("import time; time.sleep(60)", "hung"),
        ("pass", ""),
    ],
)
def test_bad_ends_are_seen(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, life: str, problem: str
) -> None:
    script = tmp_path / "life.py"
    script.write_text(life)
    monkeypatch.setattr(run, "LIFE", script)
    if problem == "hung":
        monkeypatch.setattr(run, "SECONDS", 2)  # by then it has begun to sleep
    ended = run.live(sys.executable, "end", 5, False, strict=True)
    assert (ended.seed, ended.problem) == (5, problem)
    if problem == "hung":
        assert 'life.py", line 1' in ended.said


def test_a_bad_end_is_told_at_once(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "life.py"
    script.write_text("raise SystemExit('so it ended')")
    monkeypatch.setattr(run, "LIFE", script)
    monkeypatch.setattr(sys, "argv", ["run.py", "--count", "1", "--seed", "8", "os_exit"])
    assert run.main() == 1
    told = capsys.readouterr().err
    assert told.index("os_exit 8: status 1, not 7\nso it ended") < told.index("1 tried, 1 bad")


def test_what_has_no_cpu_does_not_hang(run: Any) -> None:
    cpu = min(os.sched_getaffinity(0))

    def begun(code: str) -> subprocess.Popen[bytes]:
        one = f"import os, time; os.sched_setaffinity(0, [{cpu}]); {code}"
        return subprocess.Popen([sys.executable, "-c", one], start_new_session=True)

    with (
        begun("os.nice(0)\nwhile True: pass") as busy,
        begun("os.nice(19)\nwhile True: pass") as starved,
        begun("time.sleep(600)") as asleep,
    ):
        try:
            wait_until(lambda: run.stood_in_line(starved.pid, 1), 60)
            assert not run.stood_in_line(asleep.pid, 60)
        finally:
            for one in (busy, starved, asleep):
                one.kill()


def test_a_real_life(run: Any) -> None:
    assert run.live(sys.executable, "fork_main", 1, True, strict=True) == run.Ended(1, "")


def test_the_table_goes_between_its_marks(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- torture -->\nold\n<!-- /torture -->\nafter\n")
    monkeypatch.setattr(sys, "argv", ["run.py", "--count", "1", "--output", str(page), "os_exit"])
    assert run.main() == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- torture -->\n`python tests/torture/run.py --seed 0 ")
    assert text.endswith("| `os._exit` | 1 | 1 |\n<!-- /torture -->\nafter\n")
    assert "| `os._exit` | 1 | 1 |" in capsys.readouterr().out
