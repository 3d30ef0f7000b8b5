"""Child processes under `gilknocker run`: nobody measures them, and that is said.

And reloaders, which run the whole command once more in a child: its report is the one that counts.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from needs import needs_gil
from runs import Outcome, metered, python
from stories import MS, tell

from gilknocker import Snapshot
from gilknocker.meters.child_processes import cpu_ns
from gilknocker.reports import words
from gilknocker.reports.card import card

NOTE = "of CPU time, which was not measured: each has a GIL of its own"
SPIN = "import time\nend = time.process_time() + 0.4\nwhile time.process_time() < end: pass\n"
STARTED = {
    "subprocess": 1,
    "its child": 1,
    "fork": 1,
    "preexec": 1,
    "posix_spawn": 1,
    "pool": 2,
    "spawn": 3,
}
PROGRAMS = {
    "posix_spawn": f"""
        import os, sys
        pid = os.posix_spawn(sys.executable, [sys.executable, "-c", {SPIN!r}], os.environ)
        os.waitpid(pid, 0)
    """,
    "preexec": f"""
        import os, subprocess, sys
        subprocess.run([sys.executable, "-c", {SPIN!r}], preexec_fn=os.getpid)
    """,
    "spawn": f"""
        import multiprocessing as mp
        def work(): exec({SPIN!r}, {{}})
        if __name__ == "__main__":
            context = mp.get_context("spawn")
            workers = [context.Process(target=work) for _ in range(2)]
            for one in workers: one.start()
            for one in workers: one.join()
    """,  # and what keeps track of its semaphores
    "subprocess": f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}])",
    "its child": f"""
        import subprocess, sys
        code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
        subprocess.run([sys.executable, "-c", code, {SPIN!r}])
    """,
    "fork": f"""
        import os
        pid = os.fork()
        if not pid:
            exec({SPIN!r})
            os._exit(0)
        os.waitpid(pid, 0)
    """,
    "pool": f"""
        from concurrent.futures import ProcessPoolExecutor
        def work(n): exec({SPIN!r}, {{}})
        if __name__ == "__main__":
            with ProcessPoolExecutor(2) as pool: list(pool.map(work, range(1)))
    """,
}


def measured(folder: Path, program: str, *options: str) -> tuple[Outcome, dict[str, Any]]:
    (folder / "program.py").write_text(dedent(program))
    got = metered("program.py", options=["--json", "r.json", *options], cwd=folder)
    return got, json.loads((folder / "r.json").read_text())


@pytest.mark.parametrize("name", STARTED)
def test_what_children_used_is_said(name: str, tmp_path: Path) -> None:
    got, stored = measured(tmp_path, PROGRAMS[name], "--html", "r.html")
    assert (got.returncode, got.stderr) == (0, "")
    assert 0.38e9 <= stored["children_cpu_ns"] < 20e9
    started = STARTED[name]
    assert stored["children"] == started
    said = f"{started} child process{'es' * (started > 1)} or more used"
    assert said in " ".join(got.report.split()) and said in (tmp_path / "r.html").read_text()
    assert NOTE in " ".join(got.report.split())
    assert NOTE in (tmp_path / "r.html").read_text()
    assert python("-m", "gilknocker", "show", tmp_path / "r.json").stdout == got.report


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only those that were waited for")
def test_a_child_that_still_runs(tmp_path: Path) -> None:
    program = f"""
        import os, subprocess, sys
        code = {SPIN!r} + "print(flush=True); time.sleep(60)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-3)
        child.stdout.readline()
        print(child.pid)
        child.__class__.__del__ = lambda self: None
    """
    got, stored = measured(tmp_path, program)
    os.kill(int(got.stdout), 9)
    assert stored["children_cpu_ns"] >= 0.38e9 and NOTE in " ".join(got.report.split())


def test_without_children_nothing_is_said(tmp_path: Path) -> None:
    got, stored = measured(tmp_path, SPIN)
    assert stored["children"] == stored["children_cpu_ns"] == 0
    assert "child process" not in got.report


def test_what_children_used_before_is_not_counted(tmp_path: Path) -> None:
    before = cpu_ns()
    python("-c", SPIN)
    assert cpu_ns() - before >= 0.38e9
    code = f"""
import runpy, subprocess, sys
subprocess.run([sys.executable, "-c", {SPIN!r}])
sys.argv = ["gilknocker", "run", "--json", "r.json", "-c", ""]
runpy.run_module("gilknocker", run_name="__main__")
"""
    python("-c", code, cwd=tmp_path)
    assert json.loads((tmp_path / "r.json").read_text())["children_cpu_ns"] == 0


def test_a_little_is_not_worth_a_note() -> None:
    snapshot = tell(["held"] * 1000, [5 * MS] * 100, ticks_late=0, ticks_missed=0)
    assert words.caveats(snapshot, 9 * MS) == []
    [note] = words.caveats(snapshot, 12 * MS)
    assert note.startswith("child processes used 12 ms of CPU time")
    assert note in card(snapshot, children_cpu_ns=12 * MS) and note not in card(snapshot)
    [note] = words.caveats(snapshot, 12 * MS, 3)
    assert note.startswith("3 child processes or more used 12 ms of CPU time")


@pytest.mark.parametrize("key", ["children_cpu_ns", "children"])
@pytest.mark.parametrize("value", [-1, 2**63, 1.5, True, "1", None])
def test_bad_values_are_refused(key: str, value: object, tmp_path: Path) -> None:
    _, stored = measured(tmp_path, "pass")
    (tmp_path / "r.json").write_text(json.dumps({**stored, key: value}))
    got = python("-m", "gilknocker", "show", tmp_path / "r.json")
    assert got.returncode == 2 and f"{key} must be" in got.stderr
    del stored[key]  # as version 1.0 wrote it
    (tmp_path / "r.json").write_text(json.dumps(stored))
    assert python("-m", "gilknocker", "show", tmp_path / "r.json").returncode == 0


# As werkzeug's does: the same command in a child, again while that ends with 3.
RELOADER = """
import os, pathlib, subprocess, sys, time
if os.environ.get("RUN_MAIN") != "true":
    while True:
        command = [sys.executable, *sys.orig_argv[1:]]
        status = subprocess.call(command, env={**os.environ, "RUN_MAIN": "true"}, close_fds=False)
        if status != 3:
            sys.exit(status)
print("serving", flush=True)
end = time.process_time() + 0.5
while time.process_time() < end: pass
changed = pathlib.Path("changed")
if not changed.exists():
    changed.touch()
    sys.exit(3)
"""


@needs_gil
@pytest.mark.parametrize("form", [["app.py"], ["-m", "app"]], ids=" ".join)
@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
def test_a_reloader_does_not_overwrite_the_server_s_report(
    form: list[str], old: bool, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(RELOADER)
    if old:
        (tmp_path / "r.json").write_text("of a run before")
    got = metered(*form, options=["--json", "r.json"], cwd=tmp_path)
    assert (got.returncode, got.stdout) == (0, "serving\nserving\n")
    [aside] = set(os.listdir(tmp_path)) - {"app.py", "changed", "r.json", "__pycache__"}
    server, parent = (json.loads((tmp_path / name).read_text()) for name in ("r.json", aside))
    pid = parent["snapshot"]["pid"]
    assert aside == f"r.{pid}.json" and server["snapshot"]["pid"] != pid
    # What it spins, however long it took to begin and to end.
    assert Snapshot.from_dict(server["snapshot"]).held_seconds > 0.8 * 0.5
    assert parent["children_cpu_ns"] > 0.9e9
    everything = got.stderr + got.report
    assert everything.count("another process has written 'r.json' meanwhile") == 1
    assert f"this report is in '{tmp_path / aside}'" in everything


def test_a_file_that_the_program_takes_away_is_written(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("old")
    got, stored = measured(tmp_path, "import os; os.unlink('r.json')")
    assert stored["exit_status"] == 0 and "another process" not in got.report
