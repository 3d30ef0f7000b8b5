"""Another process read from outside: found, proven, refused; what it does is what is seen."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from needs import needs_gil
from runs import command
from stories import tell
from waiting import wait_until
from watched import leaves, running, watch

outside = pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker._files import Target  # noqa: E402
from gilknocker.commands.first_stderr import FirstStderr  # noqa: E402
from gilknocker.commands.options import UsageError  # noqa: E402
from gilknocker.commands.outputs import Output  # noqa: E402
from gilknocker.commands.outside import _dump_lines  # noqa: E402
from gilknocker.commands.outside_options import print_report  # noqa: E402
from gilknocker.meters.outside import layouts, target  # noqa: E402
from gilknocker.meters.outside.elf import Elf, NotElf  # noqa: E402
from gilknocker.meters.outside.process import NoProcess, Process  # noqa: E402
from gilknocker.meters.outside.watch import OutsideMeter  # noqa: E402
from gilknocker.reports.run import Run  # noqa: E402

pytestmark = [needs_gil]

LOAD = """
import _thread, sys, threading, time
from gilknocker import _load

def in_c():
    print("ready", flush=True)
    _load.hold_gil(60.0)

def in_python():
    print("ready", flush=True)
    while True:
        pass

def deep(n):
    if n:
        deep(n - 1)
    else:
        in_python()

def idle():
    print("ready", flush=True)
    time.sleep(60)

def bare():
    print("ready", flush=True)
    _thread.start_new_thread(_load.hold_gil, (60.0,))  # no function of Python is called in it
    time.sleep(60)

what = sys.argv[1]
thread = threading.Thread(target={"c": in_c, "python": in_python, "deep": lambda: deep(40),
                                  "idle": idle, "bare": bare}[what], daemon=True)
thread.start()
thread.join(60)
"""


def test_this_python_s_layout_is_the_table_s() -> None:
    assert layouts.LAYOUTS[sys.version_info[:2]] == outside.own_layout()


@pytest.mark.parametrize(
    ("what", "function"),
    [("c", "in_c"), ("python", "in_python"), ("bare", "(no Python code)")],
)
def test_who_holds_it_and_where(what: str, function: str) -> None:
    with running(LOAD, what) as process:
        meter = OutsideMeter(target.Target(process.pid))
        watch(meter, 1.0)
        snapshot, found = meter.snapshot(), leaves(meter)
    assert snapshot.method == "outside"
    assert snapshot.held_fraction is not None and snapshot.held_fraction > 0.9
    assert found[function] > 0.9 * sum(found.values())
    assert type(snapshot).from_dict(snapshot.to_dict()) == snapshot
    assert snapshot.held_seconds == pytest.approx(
        snapshot.held_fraction * snapshot.observed_seconds, rel=0.05
    )
    assert snapshot.stacks[0].frames[-1].function == function
    assert snapshot.stacks[0].thread == snapshot.holders[0].name


def test_nobody_holds_it() -> None:
    with running(LOAD, "idle") as process:
        meter = OutsideMeter(target.Target(process.pid))
        watch(meter, 0.5)
        snapshot = meter.snapshot()
    assert snapshot.held_fraction is not None and snapshot.held_fraction < 0.1


def test_a_deep_stack_whole() -> None:
    with running(LOAD, "deep") as process:
        watched = target.Target(process.pid)
        stacks = [watched.reader.stack(thread.state) for thread in watched.threads()]
    functions = [[frame[0] for frame in stack] for stack in stacks if stack]
    [deep] = [stack for stack in functions if "deep" in stack]
    assert deep.count("deep") == 41 and deep[-1] == "in_python"


@contextmanager
def slow_reader(meter: OutsideMeter, looks: list[int]) -> Iterator[None]:
    """Let the meter's reader have looked so often at each of the next reads."""
    reader = meter._reader
    numbers = iter(looks)

    class Slow:
        gone = reader.gone

        def read(self) -> dict[str, int]:
            return {"ticks": next(numbers)}

    meter._reader = Slow()
    try:
        yield
        assert not list(numbers)
    finally:
        meter._reader = reader


def test_nothing_is_said_of_the_gil_before_it_was_looked_at() -> None:
    with running(LOAD, "c") as process:
        meter = OutsideMeter(target.Target(process.pid))
        with meter, slow_reader(meter, [0, 0, 0, 1]):
            meter.wait_for_a_look(60)
        with slow_reader(meter, [0]):
            meter.wait_for_a_look(0)
    state = {"pid": 1, "python": "3.15", "program": [], "stopped": False, "threads": []}
    never = {"held_for_ns": 0, "held_fraction": None}
    assert "is unknown" in _dump_lines({**state, **never})[1]
    assert _dump_lines({**state, **never, "held_fraction": 0.5})[1] == "the GIL is free"


def test_a_thread_that_comes_by_several_states_is_one_holder() -> None:
    frames = (("f", "a.py", 1),)
    seen = {name: 0 for name in ("ticks_late", "ticks_missed", "cpu_ns", "began_ns")}
    seen |= {"ticks": 10, "ticks_held": 9, "ended_ns": 10_000_000}
    seen["stacks"] = [(5, 0, 77, frames, 3), (4, 0, 77, frames, 4), (9, 0, 0, frames, 2)]
    watched = SimpleNamespace(
        reader=SimpleNamespace(read=lambda: seen),
        process=SimpleNamespace(pid=1, threads=lambda: {77: "calls back"}),
        switch_interval_ns=lambda: 5_000_000,
    )
    snapshot = OutsideMeter(watched).snapshot()  # type: ignore[arg-type]
    assert [(one.name, one.native_id, round(one.share * 9)) for one in snapshot.holders] == [
        ("calls back (77)", 77, 7),
        ("thread 8", 0, 2),  # of a Python that keeps no number of the system's
    ]
    assert {stack.thread for stack in snapshot.stacks} == {"calls back (77)", "thread 8"}


def test_dump_of_a_process_that_is_stuck_in_c() -> None:
    with running(LOAD, "c") as process:
        got = command("dump", str(process.pid))
    assert got.returncode == 0, got.stderr
    lines = got.stdout.splitlines()
    assert lines[1].startswith("the GIL is held, for ")
    assert lines[2].endswith(": holds the GIL") and lines[3].strip().startswith("in_c (<string>:")


def test_record_and_its_files(tmp_path: Path) -> None:
    names = ("json", "html", "flame", "speedscope", "collapsed")
    files = {name: tmp_path / name for name in names}
    with running(LOAD, "python") as process:
        options = [word for name in names for word in (f"--{name}", str(files[name]))]
        got = command("record", "--seconds", "1.5", *options, str(process.pid))
    assert got.returncode == 0, got.stderr
    assert re.search(r"by line +\d+\.\d % <string>:\d+ in_python", got.stdout)
    assert "from outside nobody can ask for the GIL" in got.stdout
    # As it was printed: the process goes on, and has no exit status.
    assert command("show", str(files["json"])).stdout == got.stdout
    assert "in_python" in files["html"].read_text() and "in_python" in files["flame"].read_text()
    rows = [line.rpartition(" ") for line in files["collapsed"].read_text().splitlines()]
    assert "in_python (<string>:" in rows[0][0]
    observed_ns = json.loads(files["json"].read_text())["snapshot"]["observed_ns"]
    held_ns = sum(int(micros) for *_, micros in rows) * 1e3
    assert 0.8 * observed_ns < held_ns < 1.1 * observed_ns
    profile = json.loads(files["speedscope"].read_text())
    assert "in_python" in {frame["name"] for frame in profile["shared"]["frames"]}


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with running(LOAD, "idle") as process:
        got = command("record", "--json", str(tmp_path / "no" / "r"), str(process.pid))
        late = command("record", "--seconds", "0.1", "--json", "/dev/full", str(process.pid))
    assert got.returncode == 2 and "--json cannot write" in got.stderr and not got.stdout
    assert late.returncode == 2 and "no report in '/dev/full': " in late.stderr


def test_a_file_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such letter")

    file = Output("report", "r", Target(tmp_path / "r"), fails)
    with pytest.raises(UsageError, match="no report in 'r': no such letter"):
        print_report(Run(tell(["held"] * 9, [])), [file], FirstStderr(), ["of a process"])
    assert capsys.readouterr().out.endswith("\n  Note: of a process\n")


def test_a_process_that_ends_meanwhile() -> None:
    with running(LOAD, "idle") as process:
        meter = OutsideMeter(target.Target(process.pid))
        with meter:
            process.kill()
            process.wait(30)
            assert meter.wait(30)


@pytest.mark.parametrize("waited_for", [True, False])
def test_a_process_that_ends_while_it_is_made_out(
    waited_for: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for a Python of another layout, nor for no Python at all."""
    with running(LOAD, "idle") as process:

        def ends(made_out: target.Target) -> None:
            process.kill()
            if waited_for:
                process.wait(30)
            wait_until(lambda: made_out.process.has_ended)
            raise target.Unreadable("an address is not there")

        monkeypatch.setattr(target.Target, "_prove", ends)
        with pytest.raises(NoProcess, match=f"process {process.pid} has ended"):
            target.Target(process.pid)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dump", "x"], "PID must be the number of a process, not 'x'"),
        (["dump"], "the following arguments are required: PID"),
        (["record", "1", "--seconds", "0"], "must be a number of seconds up to 1e6, not '0'"),
        (["record", "1", "--interval-micros", "0"], "must be an integer from 1 to 10000000"),
        (["dump", "2147483646"], "there is no process 2147483646"),
        (["dump", "9" * 5000], f"PID must be the number of a process, not '{'9' * 40}'...\n"),
        (
            ["record", "1", "--interval-micros", "9" * 5000],
            f"must be an integer from 1 to 10000000, not '{'9' * 40}'...\n",
        ),
        (
            ["record", "1", "--seconds", "9" * 5000],
            f"must be a number of seconds up to 1e6, not '{'9' * 40}'...\n",
        ),
    ],
)
def test_what_cannot_be(words: list[str], said: str) -> None:
    got = command(*words)
    assert got.returncode == 2 and got.stderr.startswith("gilknocker: error: ")
    assert said in got.stderr and got.stderr.count("\n") == 1


def test_no_python_at_all() -> None:
    process = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL)
    try:
        with pytest.raises(target.Unreadable, match="runs no CPython that could be found"):
            target.Target(process.pid)
        got = command("dump", str(process.pid))
        assert got.returncode == 2 and "it is 'sleep 60'; if that started one, give" in got.stderr
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="it does not say so before")
def test_a_free_threaded_build_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(pid: int, address: int, size: int, read: Callable[..., bytes] = outside.read) -> bytes:
        content = read(pid, address, size)
        return content[:16] + b"\1" + content[17:] if content.startswith(b"xdebugpy") else content

    monkeypatch.setattr(outside, "read", read)
    with (
        running(LOAD, "idle") as process,
        pytest.raises(target.Unreadable, match="a free-threaded build"),
    ):
        target.Target(process.pid)


@pytest.mark.parametrize(
    ("user", "owner", "said"),
    [
        (0, 0, "This is root without CAP_SYS_PTRACE over it, as in many containers"),
        (7, 0, r"It belongs to another user: run this as that user \(or run this as root, or"),
        (7, 7, r"may not be read: .* \(or run this as root, or with CAP_SYS_PTRACE\)$"),
    ],
)
def test_what_is_missing_is_said(
    user: int, owner: int, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    process = Process(os.getpid())
    process.folder = tmp_path
    monkeypatch.setattr(os, "geteuid", lambda: user)
    status = os.stat_result([0o40755, 1, 1, 1, owner, owner, 0, 0, 0, 0])
    monkeypatch.setattr(Path, "stat", lambda *_, **__: status)
    assert re.search(said, process.denied(PermissionError(errno.EACCES, "no")))


def test_a_wrong_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    version = sys.version_info[:2]
    right = layouts.LAYOUTS[version]
    gil = [name for name in right if name.startswith("gil_")]
    for names in (gil, ["interpreter_threads"], ["thread_interpreter"], ["gil_last_holder"]):
        wrong = {**right, **{name: right[name] + 8 for name in names}}
        monkeypatch.setitem(layouts.LAYOUTS, version, wrong)
        with (
            running(LOAD, "python") as process,
            pytest.raises(target.Unreadable, match="does not read"),
        ):
            target.Target(process.pid)


def test_files_that_are_no_elf(tmp_path: Path) -> None:
    empty, text, cut = tmp_path / "empty", tmp_path / "text", tmp_path / "cut"
    empty.touch()
    text.write_text("x" * 1000)
    cut.write_bytes(Path(sys.executable).resolve().read_bytes()[:100])
    for path in (empty, text, cut):
        with pytest.raises(NotElf):
            Elf(path)


def test_a_process_that_is_not_there() -> None:
    with pytest.raises(NoProcess, match="there is no process 2147483646"):
        Process(2147483646)
