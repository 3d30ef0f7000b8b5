"""What `gilknocker run` says: the report's words, the JSON file, usage errors."""
# ruff: noqa: E501 (output as it is printed)

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from needs import CAN_TRACE, needs_gil
from runs import RUN, environment, metered, python
from stories import MS, counted, tell

from gilknocker import GilTracer, Snapshot
from gilknocker.reports import words

BUSY = "import time\nend = time.monotonic() + 0.4\nwhile time.monotonic() < end: pass"
HELD = ["held"] * 95 + ["free"] * 5
HALF = ["held", "free"] * 50
IDLE = ["held"] + ["free"] * 99


CALM = {"ticks_late": 0, "ticks_missed": 0}


def interpretation(ticks: list[str], waits: list[int], **changes: Any) -> str:
    return words.interpretation(tell(ticks, waits, **(CALM | changes)))


@pytest.mark.parametrize(
    ("ticks", "waits", "changes", "words"),
    [
        (["disabled"] * 100, [1000] * 20, {}, "There was no GIL"),
        ([], [], {"gil_enabled_now": False}, "There was no GIL"),
        ([], [], {}, "Too short to say"),
        (["held"] * 39, [5 * MS] * 20, {}, "Too short to say how busy the GIL was: 39 looks"),
        (["disabled"] * 500 + ["held"] * 39, [1000] * 20, {}, "Too short to say"),
        (IDLE, [1000] * 20, {}, "free most of the time: waiting for it is not"),
        (IDLE, [1000] * 20 + [99 * MS], {}, "free most of the time: waiting for it is not"),
        (IDLE, [1000] * 20 + [100 * MS], {}, "free most of the time, but not always soon"),
        (IDLE, [], {"in_flight_ns": 200 * MS}, "up to 200 ms (one was not over after 200 ms)"),
        (HELD, [5 * MS] * 9, {}, "9 knocks: too few"),
        (HELD, [5 * MS], {}, "1 knock: too few"),
        (HELD, [], {"in_flight_ns": 900 * MS}, "would have waited up to 900 ms"),
        (HELD, [5 * MS] * 20, {}, "one thread at a time that runs Python code"),
        (HALF, [4 * MS] * 20, {}, "one thread at a time that runs Python code"),
        (HELD, [1 * MS] * 20, {"switch_interval_ns": MS}, "only after 1.0 ms"),
        (HELD, [15 * MS] * 20, {}, "threads that queue up for it; code that keeps it"),
        (HELD, [40 * MS] * 20 + [200 * MS], {}, "half of the waits took 40 ms or more"),
        (HELD, [300 * MS] * 20, {}, "20 of 20 waits took 100 ms or more"),
        (HELD, [5 * MS] * 20 + [300 * MS], {}, "would have waited up to 300 ms"),
        (HELD, [5 * MS] * 20 + [300 * MS], {"ticks_missed": 50}, "a machine too busy"),
        (HELD, [10_000] * 20, {}, "handed over quickly: 90 % of the waits took at most 10 µs"),
        (HELD, [10_000] * 20, {}, "hardly room for more threads"),
        (HALF, [10_000] * 20, {}, "There is room for more threads."),
        (
            HALF,
            [10_000] * 15 + [4 * MS] * 5,
            {},
            "waits differ: half took at most 10 µs, one in ten more than 4.0 ms.",
        ),
    ],
)
def test_interpretation(
    ticks: list[str], waits: list[int], changes: dict[str, Any], words: str
) -> None:
    assert words in interpretation(ticks, waits, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method": "knock"}, "estimated from the waits"),
        ({"ticks_late": 11, "ticks_missed": 0}, "11.0 % of the looks came late or not at all"),
        ({"ticks_late": 0, "ticks_missed": 25}, "20.0 % of the looks came late or not at all"),
        ({"in_flight_ns": 20 * MS}, "one knock had waited for 20 ms at the end"),
    ],
)
def test_caveats(changes: dict[str, Any], said: str) -> None:
    waits = [5 * MS] * 100
    assert words.caveats(tell(HELD, waits, **CALM)) == []
    [caveat] = words.caveats(tell(HELD, waits, **(CALM | changes)))
    assert said in caveat


def test_caveats_of_counts() -> None:
    assert words.caveats(tell(HELD, [MS] * 99, **CALM)) == ["of 99 waits the p99 is the longest."]
    [caveat] = words.caveats(tell([*HELD, "disabled"], [MS] * 100, **CALM))
    assert "switched off part of the time" in caveat


def test_no_caveat_on_late_looks_where_nothing_is_concluded() -> None:
    assert words.caveats(tell(["held"] * 10, [])) == []


def test_text() -> None:
    snapshot = tell(HELD, [4 * MS] * 60 + [6 * MS] * 40, ticks_late=3, ticks_missed=0, cpu_ns=MS)
    text = words.text(snapshot, program=["a.py", "x\ny", "\u2713"], exit_status=1)
    assert text == (
        "gilknocker: 100 ms of a.py x y \u2713 (exit status 1)\n"
        "  GIL held  95.0 % of the time (88.8 to 97.8, 95 % confidence)\n"
        "  waits     p50 4.0 ms, p90 6.0 ms, p99 6.0 ms, max 6.0 ms; 480 ms in all, of 100 knocks\n"
        "  looks     100, every 1.0 ms, 3 late, 0 missed; method look\n"
        "  own cost  1.0 % of one core\n"
        "  The GIL was held 95.0 % of the time, as it is where one thread at a time that runs Python code\n"
        "  keeps it, and gives it up only after 5.0 ms, when another asks: each thread more waits for\n"
        "  that. Processes would not, nor code that releases the GIL.\n"
    )


def test_text_of_what_was_counted() -> None:
    looked = tell(HELD, [4 * MS] * 60 + [6 * MS] * 40, ticks_late=3, ticks_missed=0, cpu_ns=MS)
    lines = words.text(counted(looked)).splitlines()
    assert lines[1] == "  GIL held  95.0 % of the time, exactly"
    assert lines[3] == "  counted   all of the time, timed by tsc; method count"
    partly = words.text(counted(looked, counted_ns=25 * MS, ticks=100, ticks_held=95)).splitlines()
    assert partly[1].endswith(" of the time (90.4 to 97.1, 95 % confidence)")
    assert partly[3] == (
        "  counted   25.0 % of the time, timed by tsc; "
        "looks 100, every 1.0 ms, 0 late, 0 missed; method count"
    )
    with_stacks = counted(looked, ticks=100, ticks_held=95, ticks_missed=50)
    [caveat] = words.caveats(with_stacks)
    assert caveat.endswith(": by which lines it was held is less sure.")


def test_text_without_anything() -> None:
    lines = words.text(tell([], [], interval_ns=MS)).splitlines()
    assert lines[0] == "gilknocker: 0 ns"
    assert lines[1:5] == [
        "  GIL held  unknown: no looks",
        "  waits     unknown: no knock was answered",
        "  looks     0, every 1.0 ms, 0 late, 0 missed; method look",
        "  own cost  unknown: nothing observed",
    ]
    assert "never: there was none" in words.text(tell(["disabled"] * 50, []))


def test_text_of_a_merge_and_of_a_difference() -> None:
    merge = tell(HELD, [MS], interval_ns=MS) + tell(HELD, [MS], interval_ns=2 * MS, sampler_id=2)
    assert "  looks     200, 66 late" in words.text(merge)
    window = tell(HELD, [MS, 5 * MS, 3 * MS]) - tell(HELD[:50], [MS, 5 * MS])
    assert "max <= 3.0 ms" in words.text(window)


def test_long_commands_are_cut() -> None:
    first = words.text(tell(HELD, []), program=["-c", "x" * 100]).splitlines()[0]
    assert first == f"gilknocker: 100 ms of -c {'x' * 54}..."


@needs_gil
def test_a_busy_program(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    got = metered("-c", BUSY, "arg", options=["--interval-micros", "500", f"--json={target}"])
    assert (got.returncode, got.stdout, got.stderr) == (0, "", "")
    lines = got.report.splitlines()
    assert re.match(r"gilknocker: .* m?s of -c import time", lines[0])
    labels = [line[:10].strip() for line in lines[1:6]]
    assert labels == ["GIL held", "held by", "waits", "looks", "own cost"]
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
    assert (snapshot.held_fraction or 0) > 0.8
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a command is needed"),
        (["fly"], "no command 'fly'"),
        (["run"], "run needs a program"),
        (["run", "--live"], "run needs a program"),
        (["run", "-m"], "-m needs a value"),
        (["run", "-c"], "-c needs a value"),
        (["run", "--"], "-- needs a value"),
        (["run", "-"], "cannot be read from stdin"),
        (["run", "--fast", "x.py"], "run has no option --fast"),
        (["run", "--live=1", "x.py"], "run has no option --live=1"),
        (["run", "--interval-micros"], "--interval-micros needs a value"),
        (["run", "--interval-micros", "0", "ok.py"], "must be an integer from 1 to "),
        (["run", "--interval-micros", "-5", "ok.py"], "not '-5'"),
        (["run", "--interval-micros=1e3", "ok.py"], "not '1e3'"),
        (["run", "--interval-micros=1_0", "ok.py"], "not '1_0'"),
        (["run", "--interval-micros", "9" * 5000, "ok.py"], "must be an integer"),
        (["run", "--json"], "--json needs a value"),
        (["run", "--json=", "ok.py"], "--json needs the name of a file"),
        (["run", "--json", "none/out.json", "ok.py"], "--json cannot write 'none/out.json'"),
        (["run", "--json", "folder", "ok.py"], "--json cannot write 'folder': Is a directory"),
        (["run", "--json", "o", "--html", "./o", "ok.py"], "--json and --html cannot both write"),
        (["run", "--stacks", "--trace", "ok.py"], "stacks are read by looks"),
        (["run", "--flame", "o", "--chrome-trace", "p", "ok.py"], "stacks are read by looks"),
        (["run", "--flame", "ok.py"], "run needs a program"),
        (["run", "none.py"], "cannot read 'none.py': No such file or directory"),
        (["run", "-m", "a\nb"], "No module named a\\nb"),
        (["run", "folder"], "'folder' has no __main__.py to run"),
        (["run", "empty.zip"], "'empty.zip' has no __main__.py to run"),
        (["run", "-m", "no_such"], "No module named no_such"),
        (["run", "-m", "no_such.part"], "No module named 'no_such'"),
        (["run", "-m", "folder"], "folder"),
        (["run", "-m", ".relative"], "Relative module names not supported"),
        (["show"], "show needs one FILE"),
        (["show", "a", "b"], "show needs one FILE"),
        (["compare", "a"], "compare needs two files"),
        (["run", "pytest"], "a module is run with -m: gilknocker run -m pytest"),
        (["run", "uvicorn", "app:app"], "gilknocker run -m uvicorn app:app"),
        (["run", "python", "ok.py"], "leave 'python' out: gilknocker run ok.py"),
        (["run", "python3.12", "-m", "pytest"], "out: gilknocker run -m pytest"),
        (["run", "ok"], "cannot read 'ok': No such file or directory; there is ok.py"),
        (["run", "/usr/bin/env", "x"], "is a compiled program (ELF), not a Python program"),
        (["run", sys.executable, "ok.py"], "is a compiled program (ELF): the program runs in"),
        (["run", "shim"], "is a script for /usr/bin/env bash (a shim of pyenv), not a Python"),
        (["run", "shim"], "gilknocker run -m shim"),
        (["run", "-u", "ok.py"], "Python's own come before -m: python -u -m gilknocker run"),
        (["run", "-Xdev", "ok.py"], "python -Xdev -m gilknocker run"),
        (["ok.py", "--port", "80"], "to run a program: gilknocker run ok.py --port 80"),
        (["-m", "pytest"], "options come after the command: gilknocker run -m pytest"),
        (["--json", "x", "run", "ok.py"], "gilknocker run --json x ok.py"),
        (["--trace", "ok.py"], "gilknocker run --trace ok.py"),
        (["pytest", "-x"], "to run a module: gilknocker run -m pytest -x"),
    ],
)
def test_usage_errors(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "ok.py").write_text("print('ran')")
    (tmp_path / "folder").mkdir()
    (tmp_path / "shim").write_text(
        '#!/usr/bin/env bash\nset -e\nexec "/home/.pyenv/libexec/pyenv" exec "${0##*/}" "$@"\n'
    )
    (tmp_path / "empty.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    got = python("-m", "gilknocker", *words, cwd=tmp_path)
    assert got.returncode == 2
    assert "ran" not in got.stdout
    assert got.stderr.startswith("gilknocker: error: ") and got.stderr.count("\n") == 1
    assert message in got.stderr


def test_scripts_that_begin_for_a_shell_run(tmp_path: Path) -> None:
    """As pip writes them where the path of Python is too long for a first line."""
    text = f"#!/bin/sh\n'''exec' \"{sys.executable}\" \"$0\" \"$@\"\n' '''\nprint('ran')\n"
    (tmp_path / "tool").write_text(text)
    assert metered("tool", cwd=tmp_path)[:3] == (0, "ran\n", "")
    (tmp_path / "tool").write_text("#!/usr/bin/env -S uv run --script\nprint('\\d', 'ran')\n")
    expected = python("tool", cwd=tmp_path)  # with a warning, once
    assert metered("tool", cwd=tmp_path)[:3] == expected[:3]


def test_a_program_that_exits_by_runpy_itself_has_run() -> None:
    code = "import runpy; runpy._run_module_as_main('no_such')"
    got = metered("-c", code)
    assert got.returncode == 1 and "No module named no_such" in got.stderr and got.report


def test_options_end_where_the_program_begins(tmp_path: Path) -> None:
    (tmp_path / "--odd.py").write_text("import sys; print(sys.argv)")
    got = metered("--", "--odd.py", "--json", "x", "--", "-m", cwd=tmp_path)
    assert got.stdout == "['--odd.py', '--json', 'x', '--', '-m']\n"


def test_help_and_version() -> None:
    for asked in (["--help"], ["-h"], ["run", "--help"], ["show", "-h"]):
        got = python("-m", "gilknocker", *asked)
        assert got.returncode == 0 and got.stdout.startswith("usage: gilknocker run")
    version = python("-m", "gilknocker", "--version").stdout
    assert version == f"gilknocker {__import__('gilknocker').__version__}\n"


def test_console_script(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("gilknocker")
    (tmp_path / "program.py").write_text("import sys; print(sys.argv, sys.path)")
    done = subprocess.run(
        [command, "run", "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == python("program.py", cwd=tmp_path).stdout
    assert done.stderr.startswith("gilknocker: ")
    done = subprocess.run([command, "run", "-c", "raise KeyboardInterrupt"], stderr=-3, timeout=60)
    assert done.returncode == -signal.SIGINT


def test_nothing_heavy_is_imported() -> None:
    heavy = {"argparse", "dataclasses", "json", "numpy", "re", "typing"}
    code = f"import sys; print(sorted({heavy} & sys.modules.keys()))"
    assert metered("-c", code).stdout == python("-c", code).stdout
