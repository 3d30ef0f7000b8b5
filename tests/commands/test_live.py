"""`gilknocker run --live` on a terminal, and its silence elsewhere."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from needs import needs_gil, needs_tracer
from runs import RUN, python, split
from stories import MS, tell

from gilknocker.commands import live
from gilknocker.commands.first_stderr import OpenFile
from gilknocker.commands.live import StatusLine, status
from gilknocker.commands.report_file import load

CLEAR = "\r\x1b[K"
BUSY = "import time\nend = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


def on_terminal(*words: str, term: str = "xterm", columns: int = 80) -> tuple[int, str]:
    """Run Python with stdout and stderr on a pseudo terminal; return its status and output."""
    master, slave = pty.openpty()
    subprocess.run(["stty", "cols", str(columns)], stdin=slave, check=True, timeout=300)
    env = {**os.environ, "TERM": term}
    process = subprocess.Popen(
        [sys.executable, *words], stdin=slave, stdout=slave, stderr=slave, env=env
    )
    os.close(slave)
    output = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: the last one has closed it
            break
        output += data
    os.close(master)
    try:
        return process.wait(timeout=60), output.decode()
    finally:
        process.kill()


@needs_gil
def test_repaints_one_line_and_clears_it_before_the_report() -> None:
    returncode, output = on_terminal(*RUN, "--live", "-c", BUSY.format(4))  # who paints may be late
    assert returncode == 0
    painted, clear, report = output.rpartition(CLEAR)
    assert clear and report.startswith("gilknocker: ")
    lines = [line for line in painted.split(CLEAR) if line]
    assert len(lines) >= 2
    for line in lines:
        pattern = r"\[\d+ s\] GIL held \d+\.\d %; wait p50 .*, max .*\r"
        assert re.fullmatch(pattern, line), line


def test_line_fits_the_terminal() -> None:
    _, output = on_terminal(*RUN, "--live", "-c", BUSY.format(2.2), columns=20)
    line, *_ = [part for part in output.split("gilknocker:")[0].split(CLEAR) if part]
    assert len(line.removesuffix("\r")) == 19


@pytest.mark.parametrize("term", ["dumb", ""])
def test_silent_on_a_terminal_that_cannot(term: str) -> None:
    _, output = on_terminal(*RUN, "--live", "-c", BUSY.format(1.2), term=term)
    assert "\x1b" not in output and output.startswith("gilknocker: ")


def test_silent_without_a_terminal() -> None:
    got = split(python(*RUN, "--live", "-c", BUSY.format(1.2), env={"TERM": "xterm"}))
    assert got.stderr == "" and "\x1b" not in got.report


@needs_tracer
def test_says_that_the_trace_is_being_saved(tmp_path: Path) -> None:
    words = ("--chrome-trace", str(tmp_path / "trace"), "-c", "import time; time.sleep(0.01)")
    returncode, output = on_terminal(*RUN, *words)
    _, *painted, last = output.split(CLEAR)
    assert returncode == 0 and last == ""
    assert painted[0] == "gilknocker: saving the trace: 0 %"
    assert painted[-1] == "gilknocker: saving the trace: 100 %"
    assert "saving" not in on_terminal(*RUN, *words, term="dumb")[1]


def test_silent_unless_asked() -> None:
    _, output = on_terminal(*RUN, "-c", BUSY.format(1.2))
    assert "\x1b" not in output


@needs_gil
def test_program_does_not_meet_the_thread(tmp_path: Path) -> None:
    code = (
        "import sys, threading, time, os\n"
        "time.sleep(1.2)\n"
        "print(threading.active_count(), threading.enumerate()[0].name)\n"
        "pid = os.fork()\n"  # with -W error: our thread must not be there
        "if pid: os.waitpid(pid, 0)\n"
        "else: os._exit(0)\n"
        "time.sleep(2.2)\n"
        "1 / 0\n"
    )
    returncode, output = on_terminal("-W", "error", *RUN, "--live", "-c", code)
    assert returncode == 1
    assert "1 MainThread" in output and "live.py" not in output and "Warning" not in output
    assert output.count("GIL held") >= 2  # it goes on after the fork
    assert output.index("ZeroDivisionError") < output.index("gilknocker:")


def test_a_program_s_own_file_gets_no_status(tmp_path: Path) -> None:
    """Which has the number of the stderr that the program closed, or led elsewhere."""
    code = "import os, time\nos.{}\nfile.write('mine')\nfile.flush()\ntime.sleep(1.3)\n"
    for lead in (
        "close(2); file = open('file', 'w'); assert file.fileno() == 2",
        "dup2((file := open('file', 'w')).fileno(), 2)",
    ):
        program = tmp_path / "program.py"
        program.write_text(code.replace("os.{}", f"os.{lead}"))
        returncode, _ = on_terminal(
            "-c",
            f"import os; os.chdir({str(tmp_path)!r}); os.execv({sys.executable!r}, "
            f"[{sys.executable!r}, '-W', 'ignore', *{RUN!r}, '--live', 'program.py'])",
        )
        assert returncode == 0
        assert (tmp_path / "file").read_text() == "mine"


@needs_gil
def test_the_line_is_no_thread_that_looks_find() -> None:
    _, output = on_terminal(*RUN, "--live", "-c", "import time; time.sleep(2.5)")
    assert not re.search(r"held by .*thread \d", output), output


@needs_tracer
def test_the_line_is_no_thread_of_the_program() -> None:
    _, output = on_terminal(*RUN, "--live", "--trace", "-c", "import time; time.sleep(2.5)")
    assert "held by   MainThread 100.0 %" in output


def test_a_traceback_is_not_printed_over_the_line() -> None:
    # It is printed just when the line would be painted again.
    code = "import sys, time; time.sleep(3); sys.stdout.flush(); 1 / 0"
    _, output = on_terminal(*RUN, "--live", "-c", code)
    assert f"{CLEAR}Traceback" in output


def test_status() -> None:
    ticks = ["held"] * 3 + ["free"]
    assert status(tell(ticks, [5 * MS, MS]), 61_900 * MS) == (
        "[61 s] GIL held 75.0 %; wait p50 1.0 ms, max 5.0 ms"
    )
    assert status(tell([], [], method="trace"), 0).endswith("; nobody waited")
    assert status(tell([], []), 0) == "[0 s] GIL held ? %; no knock answered"
    assert status(tell(["disabled"], []), 0).startswith("[0 s] no GIL;")
    stuck = tell(ticks, [MS], in_flight_ns=900 * MS)
    assert status(stuck, 0).endswith("max 1.0 ms, one waiting for 900 ms")


def test_status_line_is_about_the_time_since_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD_SECS", 0.01)
    story = [["held"] * 100, ["held"] * 100 + ["free"] * 100, ["held"] * 200 + ["free"] * 200]
    snapshots = iter([tell([], []), *(tell(ticks, []) for ticks in story)])
    read, write = os.pipe()
    line = StatusLine(lambda: next(snapshots, tell([], [], sampler_id=2)), OpenFile(write))
    line.start()
    painted = ""
    while painted.count("GIL held") < 4:
        painted += os.read(read, 1000).decode()
    assert line.stop(10**9)
    os.close(read)
    os.close(write)
    shown = [part.partition(";")[0] for part in painted.split("GIL held ")[1:]]
    assert shown[:4] == ["100.0 %", "0.0 %", "50.0 %", "? %"]


def test_status_line_starts_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PERIOD_SECS", 0.01)
    master, slave = pty.openpty()
    terminal = OpenFile(slave)
    line = StatusLine(lambda: tell([], []), terminal)
    assert not line.is_running and line.stop(0)
    for _ in range(2):
        line.start()
        line.start()
        assert line.is_running
        painted = b""  # a terminal hands on what is written to it a moment later, and in parts
        while b"GIL held" not in painted:
            painted += os.read(master, 1000)
        assert line.stop(10**9) and not line.is_running
        last = b""
        while not last.endswith(CLEAR.encode()):
            assert select.select([master], [], [], 10)[0], last
            last += os.read(master, 1000)
    os.close(slave)
    line = StatusLine(lambda: tell([], []), terminal)
    line.start()  # a terminal that is gone ends the thread, and nothing else
    deadline = time.monotonic() + 10
    while line.is_running and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not line.is_running and line.stop(0)
    os.close(master)


FORKS = """
import os, threading, time
def spin(seconds=0.3):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
threads = [threading.Thread(target=spin) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    spin(0.01)
for thread in threads: thread.join()
"""


@needs_tracer
@pytest.mark.parametrize("options", [("--trace", "--live"), ("--trace",), ("--live",)])
def test_a_file_that_was_written_beside_forks_is_read_again(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    """Our own thread waits for the GIL too, and begins anew after each fork."""
    for turn in range(3):
        path = tmp_path / f"{turn}.json"
        returncode, output = on_terminal(
            *("-W", "ignore", *RUN, *options, "--json", str(path), "-c", FORKS)
        )
        assert returncode == 0, output
        snapshot = load(str(path)).snapshot
        assert snapshot.knocks > 0
