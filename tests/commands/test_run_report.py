"""What `gilknocker run` says: the report's words, the JSON file, usage errors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from needs import CAN_TRACE, needs_gil, needs_tracer
from runs import RUN, environment, metered, python

from gilknocker import GilTracer, Snapshot

# By its own clock: the machine may set it aside while a knock has the GIL.
BUSY = "import time\nend = time.thread_time() + 0.4\nwhile time.thread_time() < end: pass"
HELD = ["held"] * 95 + ["free"] * 5
HALF = ["held", "free"] * 50
IDLE = ["held"] + ["free"] * 99


CALM = {"ticks_late": 0, "ticks_missed": 0}


@needs_gil
def test_a_busy_program(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    got = metered("-c", BUSY, "arg", options=["--interval-micros", "500", f"--json={target}"])
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    lines = got.report.splitlines()
    assert re.match(r"gilknocker: .* m?s of -c import time", lines[0])
    labels = [line[:10].strip() for line in lines[1:6]]
    how = "counted" if CAN_TRACE else "looks"
    assert labels == ["GIL held", "held by", "waits", how, "own cost"]
    stored = json.loads(target.read_text())
    snapshot = Snapshot.from_dict(stored.pop("snapshot"))
    assert stored == {
        "format": "gilknocker.report",
        "version": 1,
        "gilknocker": __import__("gilknocker").__version__,
        "python": ".".join(map(str, sys.version_info[:3])),
        "program": ["-c", BUSY, "arg"],
        "threads": [],
        "children": 0,
        "children_cpu_ns": 0,
        "exit_status": 0,
    }
    assert snapshot.interval_ns == 500_000 and snapshot.knock_interval_ns == 5_000_000
    assert snapshot.held_fraction is not None
    assert snapshot.held_seconds > 0.8 * 0.4  # what the program spins, however long it took to end
    shown = python("-m", "gilknocker", "show", target)
    assert shown.stdout == got.report and shown.stderr == ""


@pytest.mark.parametrize(
    ("code", "status", "returncode"),
    [
        ("pass", 0, 0),
        ("raise SystemExit(300)", 44, 44),
        ("raise SystemExit('text')", 1, 1),
        ("raise SystemExit(-1)", 255, 255),
        ("raise SystemExit(10**30)", 255, 255),
        ("1 / 0", 1, 1),
        ("x = = 1", 1, 1),
        ("raise KeyboardInterrupt", -2, -2),
    ],
)
def test_exit_status(code: str, status: int, returncode: int, tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    got = metered("-c", code, options=["--json", str(target)])
    assert got.returncode == returncode
    assert f"(exit status {130 if status == -2 else status})\n" in got.report
    assert json.loads(target.read_text())["exit_status"] == status


@pytest.mark.parametrize("name", ["unshare", "setns", "read"])
def test_a_call_that_is_refused_to_threads(name: str) -> None:
    """As the kernel does where it is a user or mount namespace: EINVAL."""
    code = (
        "import os\ndef refused(*_): raise OSError(22, 'Invalid argument')\n"
        f"os.{name} = refused\nos.{name}(0)"
    )
    said = "gilknocker: {}: a process that has threads cannot change its user or mount namespace"
    done = python(*RUN, "-c", code)
    assert (said.format(name) in done.stderr) == (name != "read")
    if CAN_TRACE:
        assert "namespace" not in python(*RUN, "--trace", "-c", code).stderr


@needs_tracer
def test_the_tables_of_a_trace_are_of_one_instant(tmp_path: Path) -> None:
    metered("-c", "pass", options=["--trace", "--json", "out.json"], cwd=tmp_path)
    stored = json.loads((tmp_path / "out.json").read_text())
    [main] = stored["threads"]
    held_ns, observed_ns = stored["snapshot"]["held_ns"], stored["snapshot"]["observed_ns"]
    assert main["held_ns"] <= held_ns <= main["lifetime_ns"] <= observed_ns


def test_report_comes_after_threads_and_handlers() -> None:
    code = (
        "import atexit, sys, threading, time\n"
        "atexit.register(lambda: print('handler', file=sys.stderr))\n"
        "t = lambda: (time.sleep(0.2), print('thread', file=sys.stderr))\n"
        "threading.Thread(target=t).start()"
    )
    done = python(*RUN, "-c", code)
    assert done.stderr.startswith("thread\nhandler\ngilknocker: ")


def test_report_comes_after_what_was_printed(tmp_path: Path) -> None:
    command = [sys.executable, *RUN, "-c", "import atexit; atexit.register(print, 'last')"]
    done = subprocess.run(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("last\ngilknocker: ")


def test_json_goes_where_it_was_asked_for_wherever_the_program_goes(tmp_path: Path) -> None:
    metered("-c", "import os; os.chdir('/')", options=["--json", "out.json"], cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]


def test_json_replaces_what_a_link_points_to(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("old")
    (tmp_path / "link.json").symlink_to("old.json")
    metered("-c", "pass", options=["--json", "link.json"], cwd=tmp_path)
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "old.json").read_text())["version"] == 1


def test_json_to_a_device_is_written_in_place() -> None:
    done = python(*RUN, "--json", "/dev/stdout", "-c", "pass")
    assert json.loads(done.stdout)["format"] == "gilknocker.report"
    assert Path("/dev/stdout").exists()


def test_json_to_a_pipe_wherever_the_program_goes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        metered("-c", "import os; os.chdir('/')", options=["--json", "pipe"], cwd=tmp_path)
        try:
            assert json.loads(reader.communicate(timeout=60)[0])["exit_status"] == 0
        finally:
            reader.kill()


def test_json_that_fails_at_the_end_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "out.json"
    target.parent.mkdir()
    code = f"import shutil; shutil.rmtree({str(target.parent)!r})"
    got = metered("-c", code, options=["--json", str(target)])
    assert got.returncode == 0
    assert got.report.splitlines()[-1].startswith("gilknocker: error: no report in ")


SPY = """
import sys, os
class Spy:  # told of every import
    def find_spec(self, name, path=None, target=None):
        if done:
            os.write(1, f"{name} ".encode())
done = []
sys.meta_path.insert(0, Spy())
import threading, time
def spin():
    end = time.monotonic() + 0.05
    while time.monotonic() < end: pass
threads = [threading.Thread(target=spin) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
done.append(1)
"""


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--json", "out"],
        ["--html", "out"],
        ["--trace", "--html", "out", "--json", "o"],
        ["--chrome-trace", "out"],
        ["--chrome-trace", "out.gz"],
        ["--stacks", "--json", "out"],
        ["--trace", "--flame", "out"],
        ["--flame", "out", "--speedscope", "o", "--collapsed", "c"],
    ],
    ids=" ".join,
)
def test_nothing_is_imported_for_the_report(options: list[str], tmp_path: Path) -> None:
    """The program may have left no file to be had, or modules of other names."""
    (tmp_path / "program.py").write_text(SPY)
    if not {"--trace", "--chrome-trace"}.isdisjoint(options) and not GilTracer.supported()[0]:
        pytest.skip("the GIL cannot be traced here")
    got = metered("program.py", options=options, cwd=tmp_path)
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    assert "error" not in got.report


@needs_tracer
@needs_gil
def test_a_trace_with_stacks_names_lines_and_has_files_of_them(tmp_path: Path) -> None:
    program = "def work():\n    hold_gil(1)\nfrom gilknocker.testing import hold_gil\nwork()\n"
    (tmp_path / "program.py").write_text(program)
    files = ("--flame", "f.html", "--speedscope", "s.json", "--collapsed", "c.txt")
    options = ["--trace", "--interval-micros", "500", *files]
    got = metered("program.py", options=options, cwd=tmp_path)
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    assert "every 500 µs" in got.report and "of the time, exactly" in got.report
    assert re.search(r"by line +\d.* % gilknocker/testing\.py:\d+ hold_gil", got.report)
    assert "work" in (tmp_path / "f.html").read_text()
    micros = [int(line.rsplit(" ", 1)[1]) for line in (tmp_path / "c.txt").read_text().splitlines()]
    assert sum(micros) > 1_000_000
    assert json.loads((tmp_path / "s.json").read_text())["profiles"]


def test_a_program_that_leaves_no_file_to_be_had() -> None:
    code = (
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))\n"
        "files = []\n"
        "try:\n"
        "    while True: files.append(open('/dev/null'))\n"
        "except OSError: pass\n"
    )
    got = metered("-c", code)
    assert (got.returncode, got.stderr) == (0, "") and got.report


def test_a_program_that_takes_the_interpreter_apart() -> None:
    got = metered("-c", "import builtins; builtins.round = builtins.max = None")
    assert got.returncode == 0
    assert got.stderr.startswith("gilknocker: error: no report: ") and got.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("import sys; sys.excepthook = lambda *_: sys.exit(4); 1 / 0", 4),
        ("import sys; sys.exit(-2**63)", 0),
        ("import sys; sys.exit(type('I', (int,), {'__and__': lambda *_: 9})(3))", 3),
        ("raise type('E', (SystemExit,), {'code': 5})()", 5),
    ],
)
def test_the_status_in_the_report_is_the_real_one(code: str, status: int) -> None:
    got = metered("-c", code)
    assert got.returncode == status and f"(exit status {status})" in got.report


def test_stderr_that_became_a_file_of_the_program_s(tmp_path: Path) -> None:
    code = "import os; os.close(2); os.write(os.open('file', os.O_CREAT | os.O_WRONLY), b'mine')"
    assert metered("-c", code, cwd=tmp_path)[:3] == (0, "", "")
    assert (tmp_path / "file").read_text() == "mine"


def test_streams_that_are_gone() -> None:
    for shell, status in (
        ('exec "$0" "$@" 2>&-', 0),
        ('exec "$0" "$@" 2>/dev/full', 0),
        ('exec "$0" "$@" >&- 2>&-', 0),
    ):
        for runner in ([], RUN):
            command = ["sh", "-c", shell, sys.executable, *runner, "-c", "pass"]
            assert subprocess.run(command, env=environment(), timeout=60).returncode == status


def test_broken_pipe_leaves_the_exit_status() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, *RUN, "-c", "raise SystemExit(3)"]
    with os.fdopen(write, "w") as stderr:
        done = subprocess.run(command, env=environment(), stderr=stderr, timeout=60)
        assert done.returncode == 3
