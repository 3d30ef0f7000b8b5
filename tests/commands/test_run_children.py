"""`gilknocker run --children`: every process in the table, and the program left alone."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from needs import needs_gil
from runs import RUN, TIMEOUT, Outcome, environment, metered, python
from waiting import wait_until

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker.commands.children import _PASSED_ON
from gilknocker.meters.outside.process import Process
from gilknocker.meters.outside.relatives import ExitWatch, stat
from gilknocker.reports.processes import MeasuredProcess, process_lines, worst

pytestmark = [needs_gil]

SPIN = """
import os, sys, time
def spin(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
    return seconds
"""
# Of each: what it prints, whatever the order of the processes, and how many of them spin.
PROGRAMS = {
    **{
        f"pool {method}": f"""
            import multiprocessing as mp
            if __name__ == "__main__":
                with mp.get_context({method!r}).Pool(2) as pool:
                    print(pool.map(spin, [1.2] * 2, chunksize=1))
                sys.exit(3)
        """
        for method in ("fork", "spawn", "forkserver")
    },
    "executor": """
        from concurrent.futures import ProcessPoolExecutor
        if __name__ == "__main__":
            with ProcessPoolExecutor(2) as pool: print(list(pool.map(spin, [1.2] * 2)))
            sys.exit(3)
    """,
    "subprocess": """
        import subprocess
        if sys.argv[1:] == ["child"]:
            spin(1.2)
        else:
            for flags in ([], ["-I", "-S", "-E"]):
                command = [sys.executable, *flags, __file__, "child"]
                print(subprocess.run(command).returncode)
            sys.exit(3)
    """,
    "fork": """
        for _ in range(2):
            if not os.fork():
                spin(1.2)
                os._exit(7)
        print(sorted(os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)))
        sys.exit(3)
    """,
}


def under(folder: Path, program: str, *options: str) -> tuple[Outcome, list[dict[str, Any]]]:
    """Run a program plainly and under the meter: both must look alike; return what was stored."""
    (folder / "program.py").write_text(SPIN + dedent(program))
    plain = python("program.py", cwd=folder)
    got = metered("program.py", options=["--children", "--json", "r.json", *options], cwd=folder)
    assert got[:3] == plain[:3]
    stored = json.loads((folder / "r.json").read_text())
    assert stored["exit_status"] == got.returncode
    processes = stored["processes"]
    assert {one["snapshot"]["method"] for one in processes if one["snapshot"]} == {"outside"}
    assert python("-m", "gilknocker", "show", folder / "r.json").stdout == got.report
    return got, processes


def held_seconds(process: dict[str, Any]) -> float:
    snapshot = process["snapshot"]
    return 0.0 if snapshot is None else snapshot["held_ns"] / 1e9


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_child_is_in_the_table(name: str, tmp_path: Path) -> None:
    got, processes = under(tmp_path, PROGRAMS[name])
    assert got.returncode == 3 and got.stdout
    first, *rest = processes
    assert first["exit_status"] == 3 and not first["forked"]
    spinners = [one for one in rest if one["cpu_ns"] > 0.5e9]
    assert len(spinners) == 2
    for one in spinners:
        assert held_seconds(one) > 0.45
        assert one["ppid"] and f"  {one['pid']}  " in got.report
    forked = name in ("pool fork", "pool forkserver", "fork") or (
        name == "executor" and sys.version_info < (3, 14)
    )
    assert all(one["forked"] == forked for one in spinners) or name == "executor"
    if name == "fork":
        assert [one["exit_status"] for one in spinners] == [7, 7]


def test_killed_ones_leave_what_they_had(tmp_path: Path) -> None:
    program = """
        import signal, subprocess
        code = "while True: pass"
        child = subprocess.Popen([sys.executable, "-c", code])
        spin(1.2)
        child.kill()
        print(child.wait())
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGTERM)
    """
    got, (first, child) = under(tmp_path, program)
    assert (got.returncode, got.stdout) == (-signal.SIGTERM, "-9\n")
    assert first["exit_status"] == -signal.SIGTERM and held_seconds(first) > 0.3
    assert child["exit_status"] == -signal.SIGKILL and held_seconds(child) > 0.3
    assert "SIGKILL" in got.report and "SIGTERM" in got.report


def test_a_program_that_executes_itself_again(tmp_path: Path) -> None:
    program = """
        spin(1.2)
        if len(sys.argv) < 2:
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, __file__, "again"])
        print(sys.argv[1:])
    """
    got, (first, second) = under(tmp_path, program)
    assert got.returncode == 0 and first["pid"] == second["pid"]
    assert (first["replaced"], first["exit_status"]) == (True, None)
    assert (second["replaced"], second["exit_status"]) == (False, 0)
    assert held_seconds(first) > 0.45 and held_seconds(second) > 0.45
    assert "  exec\n" in got.report


def test_the_program_sees_nothing_of_it(tmp_path: Path) -> None:
    program = """
        import signal, subprocess, threading
        def seen():
            here = [sys.argv, sys.orig_argv, str(sys.flags), sys.path, sys.warnoptions]
            here += [sorted(os.listdir("/proc/self/fd")), threading.active_count()]
            here += [sorted(sys.modules), signal.pthread_sigmask(signal.SIG_BLOCK, [])]
            here += [str(signal.getsignal(n)) for n in signal.valid_signals()]
            here += [sorted(os.environ.items()), open("/proc/self/environ").read()]
            return here
        print(seen())
        if len(sys.argv) < 2:
            subprocess.run([sys.executable, __file__, "child"])
        spin(1.2)
    """
    _, processes = under(tmp_path, program)
    assert len(processes) == 2


@pytest.mark.parametrize("how", [["-m", "gilknocker"], ["-X", "dev", "-Om", "gilknocker"]])
def test_python_s_own_options_go_to_the_program(how: list[str]) -> None:
    flags = [word.removesuffix("m") for word in how[:-1] if word not in ("-m",)]
    code = "import sys, time; time.sleep(0.3); print(sys.flags, sys.argv, sys.orig_argv[1:])"
    plain = python(*flags, "-c", code, "x")
    got = python(*how, "run", "--children", "-c", code, "x")
    assert got.stdout == plain.stdout and got.returncode == 0


def test_a_script_whose_name_begins_like_an_option(tmp_path: Path) -> None:
    (tmp_path / "-x.py").write_text("import sys\nprint(sys.argv, sys.orig_argv[1:])")
    plain = python("--", "-x.py", "-y", cwd=tmp_path)
    got = python(*RUN, "--children", "--", "-x.py", "-y", cwd=tmp_path)
    assert (got.returncode, got.stdout) == (0, plain.stdout)


def test_the_program_s_python_is_called_by_the_name_that_ours_was() -> None:
    folder, name = os.path.split(sys.executable)
    python = os.path.join(folder, os.curdir, name)
    code = "import sys, time; time.sleep(0.3); print(sys.orig_argv, sys.executable)"
    plain = subprocess.check_output([python, "-c", code], timeout=TIMEOUT)
    metered = [python, "-m", "gilknocker", "run", "--children", "-c", code]
    assert subprocess.check_output(metered, stderr=subprocess.DEVNULL, timeout=TIMEOUT) == plain


def looks_by(pid: int) -> int:
    """Return how often the watcher in a process has waited for the time of a look."""
    for thread, name in Process(pid).threads().items():
        if name == "gil-outside":
            status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
            return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])
    return 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_are_passed_on(number: signal.Signals, tmp_path: Path) -> None:
    code = f"""
import os, signal, sys, time
def end(number, frame):
    os.write(1, b"got %d\\n" % number)  # it may come while another is being written
    sys.exit(5)
signal.signal({int(number)}, end)
os.write(1, b"ready\\n")
while True: time.sleep(0.01)
"""
    process = subprocess.Popen(
        [sys.executable, *RUN, "--children", "-c", code],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    wait_until(lambda: looks_by(process.pid) > 20)  # there will be a report
    process.send_signal(number)
    output, report = process.communicate(timeout=60)
    assert (process.returncode, output) == (5, f"got {int(number)}\n")
    assert "(exit status 5)" in report


def test_the_documentation_names_the_signals_that_are_passed_on() -> None:
    document = Path(__file__, "../../../docs/children.md").resolve().read_text()
    [named] = re.findall(r"sent to the command alone,\s([^.]*) are passed\son", document)
    assert set(re.findall(r"SIG\w+", named)) == {signal.Signals(n).name for n in _PASSED_ON}


def test_who_runs_on_is_left_alone(tmp_path: Path) -> None:
    program = """
        import subprocess
        null = subprocess.DEVNULL
        code = "import time; time.sleep(1000)"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=null, stderr=null)
        spin(1.0)
        child.__class__.__del__ = lambda self: None
        open("pids", "a").write(f"{child.pid}\\n")
    """
    try:
        got, (first, child) = under(tmp_path, program)
        assert child["runs_on"] and child["exit_status"] is None and not first["runs_on"]
        assert "  runs on\n" in got.report
    finally:
        for pid in (tmp_path / "pids").read_text().split():
            os.kill(int(pid), signal.SIGKILL)  # it is there


def test_what_is_no_python_is_counted(tmp_path: Path) -> None:
    program = "import subprocess; subprocess.run(['sleep', '2'])"
    got, processes = under(tmp_path, program)
    assert [one["snapshot"] is None for one in processes] == [False, True]
    assert "not measured: 1 process that used" in got.report
    assert "it runs no CPython that could be found" in got.report


def test_the_files_are_of_all_together(tmp_path: Path) -> None:
    files = [f"--{name}={name}" for name in ("html", "flame", "collapsed", "speedscope")]
    got, processes = under(tmp_path, PROGRAMS["fork"], *files)
    html = (tmp_path / "html").read_text()
    assert html.count('<div class="gilknocker">') == 1 + len(processes)
    assert all(f"({one['pid']})" in html for one in processes)
    micros = [
        int(line.rpartition(" ")[2]) for line in (tmp_path / "collapsed").read_text().splitlines()
    ]
    assert sum(micros) / 1e6 == pytest.approx(sum(map(held_seconds, processes)), rel=0.01)
    assert "spin" in (tmp_path / "flame").read_text() and "by line" in got.report


@pytest.mark.parametrize("option", ["--trace", "--live", "--chrome-trace=x"])
def test_what_does_not_go_together(option: str) -> None:
    got = python(*RUN, "--children", option, "-c", "pass")
    said = f"--children watches from outside, and {option.partition('=')[0]} is of one process"
    assert got.returncode == 2 and said in got.stderr


def test_nothing_of_it_could_be_read(tmp_path: Path) -> None:
    got = python(*RUN, "--children", "--json", tmp_path / "r", "-c", "import os; os._exit(4)")
    # It may live long enough on a busy machine.
    assert got.returncode == 4 and ("no report: " in got.stderr or (tmp_path / "r").exists())


def test_how_a_stranger_ended_is_known() -> None:
    code = "import os, sys; sys.stdin.read(); os._exit(9)"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    watch = ExitWatch(child.pid)
    assert watch.status() is None
    child.communicate(timeout=60)
    # Linux 6.15 and later tell it of one that its parent has waited for.
    assert watch.status() in (9, None)
    watch.close()
    assert stat(child.pid) is None


def one(**changed: Any) -> MeasuredProcess:
    fields: dict[str, Any] = {
        **dict.fromkeys(("pid", "ppid"), 7),
        **dict.fromkeys(("forked", "replaced", "runs_on"), False),
        **dict.fromkeys(("cpu_ns", "waited_ns"), 0),
        "command": ["/usr/bin/python3", "app.py", "--x"],
        "exit_status": 0,
        "problem": "",
        "snapshot": None,
    }
    return MeasuredProcess(**{**fields, **changed})


def test_names_and_ends() -> None:
    assert one().name == "app.py --x" and one(forked=True).name == "fork of 7"
    spawned = ["python3.12", "-c", "from multiprocessing.spawn import spawn_main; spawn_main()"]
    assert one(command=spawned).name == "multiprocessing (spawn)"
    assert one(command=["\x1b[31mx"]).name.isprintable() and one(command=[]).name == "unknown"
    assert [one(exit_status=n).end for n in (3, -9, None, -60)] == [
        "3",
        "SIGKILL",
        "?",
        "signal 60",
    ]
    assert process_lines([one()]) == [] and worst([one()]) is None


@pytest.mark.parametrize(
    "field", ["pid", "forked", "command", "problem", "exit_status", "snapshot"]
)
def test_stored_processes_are_checked(field: str) -> None:
    assert MeasuredProcess.from_stored(one().stored()) == one()
    with pytest.raises(TypeError, match=f"{field} of a process must be"):
        MeasuredProcess.from_stored({**one().stored(), field: 1.5})
