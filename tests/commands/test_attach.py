"""`gilknocker attach`: a process measures itself, and has nothing of it afterwards."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attachable import TIMEOUT, running
from needs import needs_asking, needs_gil
from waiting import wait_until

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker import Snapshot
from gilknocker.meters import attached
from gilknocker.meters.outside.debugger import _PLEASE_STOP, Debugger
from gilknocker.meters.outside.rendezvous import hint
from gilknocker.meters.outside.target import Target

pytestmark = [needs_gil]


def load(path: Path) -> tuple[dict[str, Any], Snapshot]:
    stored = json.loads(path.read_text())
    return stored, Snapshot.from_dict(stored["snapshot"])


@needs_asking
@pytest.mark.parametrize("what", ["busy", "spin"])
def test_exact_figures_of_a_process_that_runs(what: str, tmp_path: Path) -> None:
    report = tmp_path / "report"
    with running(tmp_path, what) as service:
        begun = time.monotonic_ns()
        got = service.attached("--seconds", "0.5", "--json", str(report))
        took_ns = time.monotonic_ns() - begun
    assert got.returncode == 0 and got.stderr == ""
    stored, snapshot = load(report)
    assert snapshot.method == "trace" and snapshot.pid == int(service.pid)
    assert stored["exit_status"] is None and stored["program"] == ["process", service.pid]
    assert 0.5e9 <= snapshot.observed_ns < took_ns
    thread = {"busy": "work", "spin": "MainThread"}[what]
    assert snapshot.holders[0].name == thread and thread in {
        row["name"] for row in stored["threads"]
    }
    assert re.match(rf"gilknocker: \d+ ms of process {service.pid}\n  GIL held", got.stdout)


@needs_asking
def test_nothing_is_left(tmp_path: Path) -> None:
    with running(tmp_path, "busy", "-W", "error") as service:
        assert service.attached("--seconds", "0.1").returncode == 0
        before = {**json.loads(service.first), "modules": 0}
        # It lets go of all when it has told the last. By then it has the modules of the standard
        # library that we need.
        once = service.until(lambda state: {**state, "modules": 0} == before)
        for _ in range(5):
            assert service.attached("--seconds", "0.1").returncode == 0
            assert service.attached("--seconds", "0.1", "--method", "look").returncode == 0
        service.until(lambda state: state == once)


@needs_asking
def test_it_need_not_have_gilknocker(tmp_path: Path) -> None:
    with running(tmp_path, "busy", "-I", "-S") as service:
        with_it = service.do("import importlib.util as u; assert u.find_spec('gilknocker') is None")
        got = service.attached("--seconds", "0.1")
        assert (got.returncode, got.stderr) == (0, "")
        assert service.do()["path"] == with_it["path"]


@needs_asking
@pytest.mark.parametrize("method", ["trace", "count", "look"])
def test_the_attacher_is_killed(method: str, tmp_path: Path) -> None:
    with running(tmp_path, "busy") as service:
        before = json.loads(service.first)
        attacher = service.attach("--seconds", "600", "--method", method, "--stalls", "1s")
        service.until(lambda state: state["tasks"] > before["tasks"] + 1)
        if method != "look":
            service.until(lambda state: state["slots"])
        attacher.kill()
        attacher.communicate(timeout=TIMEOUT)
        after = service.until(lambda state: state["tasks"] == before["tasks"])
        assert {**after, "modules": 0} == {**before, "modules": 0}


def will_look(target: Target) -> bool:
    """Whether the main thread was asked, and is to look for that when it wakes up."""
    debugger = Debugger(target)
    [main] = [one for one in target.threads() if one.native_id == target.process.pid]
    flags = debugger._read(main.state + debugger._breaker, 1)[0]
    return debugger._is_pending(main) and bool(flags & _PLEASE_STOP)


@needs_asking
def test_the_attacher_is_killed_before_the_process_wakes_up(tmp_path: Path) -> None:
    with running(tmp_path, "idle") as service:
        attacher = service.attach("--timeout", "600")
        end = time.monotonic() + TIMEOUT
        while not list(service.temporary.glob("*/socket")):
            assert time.monotonic() < end
            time.sleep(0.01)
        target = Target(service.process.pid)
        wait_until(lambda: will_look(target))
        attacher.kill()
        attacher.communicate(timeout=TIMEOUT)
        service.until(lambda _: not list(service.temporary.iterdir()))
        after = service.until(lambda state: state["tasks"] == 1)
        assert {**after, "modules": 0} == {**json.loads(service.first), "modules": 0}


@needs_asking
def test_a_process_that_sleeps_is_read_from_outside(tmp_path: Path) -> None:
    with running(tmp_path, "idle") as service:
        got = service.attached("--seconds", "0.2", "--timeout", "0.5")
        assert got.returncode == 0 and "from outside nobody can ask for the GIL" in got.stdout
        assert got.stderr == (
            f"gilknocker: no thread of process {service.pid} ran Python code for 0.5 s: all of "
            "them sleep, or native code keeps the GIL; it is read from outside, as record does\n"
        )
        # What was asked was taken back.
        assert service.do() == json.loads(service.first) | {"modules": service.do()["modules"]}
        assert service.do("pass")["tasks"] == 1


@needs_asking
def test_a_stopped_process_is_said_to_be_so(tmp_path: Path) -> None:
    with running(tmp_path, "busy") as service:
        service.process.send_signal(signal.SIGSTOP)
        got = service.attached("--seconds", "0.2", "--timeout", "0.5")
    said = f"process {service.pid} is stopped (by a signal or a debugger): nothing runs in it"
    assert got.stderr == f"gilknocker: {said}; it is read from outside, as record does\n"
    assert got.returncode == 0 and f"  Note: {said}.\n" in got.stdout


@needs_asking
def test_interrupted_before_it_began(tmp_path: Path) -> None:
    with running(tmp_path, "idle") as service:
        attacher = service.attach("--timeout", "600")
        wait_until(lambda: bool(list(service.temporary.glob("*/socket"))))
        attacher.send_signal(signal.SIGINT)
        out, err = attacher.communicate(timeout=TIMEOUT)
        assert (attacher.returncode, out) == (130, "")
        assert err == "gilknocker: interrupted before anything was measured\n"
        assert not list(service.temporary.iterdir())
        assert service.do("pass")["slots"] == 0


# What has been sent is written to a file: that it has begun, then what it read.
SAYS = """
from gilknocker.meters.attached import _Attachment
def send(self, answer, send=_Attachment._send):
    send(self, answer)
    with open({said!r}, "a") as said:
        print("{{", file=said)
_Attachment._send = send
"""


@needs_asking
@pytest.mark.parametrize("how", ["exit", "kill"])
def test_the_process_ends(how: str, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with running(tmp_path, "busy") as service:
        service.do(f"exec({SAYS.format(said=str(said))!r})")
        attacher = service.attach("--seconds", "600")
        service.until(lambda state: state["traced"])
        if how == "exit":
            assert service.process.stdin is not None
            service.process.stdin.close()
        else:
            wait_until(lambda: said.exists() and said.read_text().count("{") >= 2)
            service.process.kill()
        out, err = attacher.communicate(timeout=TIMEOUT)
        assert (attacher.returncode, err) == (0, "")
        assert "GIL held" in out and f"Note: process {service.pid} has ended.\n" in out
        assert service.process.wait(TIMEOUT) == (0 if how == "exit" else -signal.SIGKILL)


@needs_asking
def test_the_process_executes_another_program(tmp_path: Path) -> None:
    with running(tmp_path, "busy") as service:
        attacher = service.attach("--seconds", "600")
        service.until(lambda state: state["traced"])
        service.until(lambda _: not list(service.temporary.iterdir()))  # who attaches has heard it
        assert service.process.stdin is not None
        service.process.stdin.write("os.execv(sys.executable, [sys.executable, '-c', 'input()'])\n")
        service.process.stdin.flush()
        out, err = attacher.communicate(timeout=TIMEOUT)
        what = f"process {service.pid} has executed another program"
        if attacher.returncode == 0:
            assert err == "" and f"  Note: {what}.\n" in out
        else:  # it was not asked for its numbers before
            assert err == f"gilknocker: error: {what} before it could say anything\n"
        assert service.process.poll() is None


# Of what is started there: it takes so long that the process ends meanwhile, or longer than that
# waits for it.
SLOWLY = """
import time
from gilknocker import _core
def slowly(prepare=_core.prepare_tracing):
    open({begun!r}, "w").close()
    time.sleep({seconds})
    return prepare()
_core.prepare_tracing = slowly
"""


@needs_asking
@pytest.mark.parametrize("seconds", [0.3, 1.5])
def test_the_process_ends_before_it_has_begun(seconds: float, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    code = SLOWLY.format(begun=str(begun), seconds=seconds)
    with running(tmp_path, "busy") as service:
        service.do(f"exec({code!r})")
        attacher = service.attach("--seconds", "600")
        service.until(lambda _: begun.exists())
        assert service.process.stdin is not None
        service.process.stdin.close()
        out, err = attacher.communicate(timeout=TIMEOUT)
        ended = f"process {service.pid} has ended"
        if attacher.returncode == 0:
            assert err == "" and f"Note: {ended}.\n" in out
        else:  # there was nothing to be told
            assert seconds > 1 and (out, err) == ("", f"gilknocker: error: {ended}\n")
        assert service.process.wait(TIMEOUT) == 0


@needs_asking
def test_the_process_forks(tmp_path: Path) -> None:
    code = (
        "child = os.fork()\n"
        "if not child: print(len(state()['fds']), len(os.listdir('/proc/self/task')), flush=True); "
        "os._exit(0)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
    )
    # No thread of ours makes Python warn of a fork; nor has the program one of its own.
    with running(tmp_path, "idle", "-W", "error") as service:
        before = json.loads(service.first)
        attacher = service.attach("--seconds", "600")
        service.until(lambda state: state["traced"])
        assert service.process.stdin is not None
        service.process.stdin.write(f"exec({code!r})\n")
        service.process.stdin.flush()
        assert service._line() == f"{len(before['fds'])} 1\n"
        assert json.loads(service._line())["slots"]
        # Who attaches has heard that it began.
        service.until(lambda _: not list(service.temporary.iterdir()))
        attacher.send_signal(signal.SIGINT)
        out, err = attacher.communicate(timeout=TIMEOUT)
        assert (attacher.returncode, err) == (0, "") and "GIL held" in out
        after = service.until(lambda state: state["tasks"] == 1)
        assert {**after, "modules": 0} == {**before, "modules": 0}


@needs_asking
def test_stacks_and_stalls(tmp_path: Path) -> None:
    with running(tmp_path, "busy") as service:
        service.do("from gilknocker import _load")
        attacher = service.attach(
            *("--seconds", "600", "--stalls", "100ms", "--collapsed", str(tmp_path / "stacks"))
        )
        service.until(lambda state: state["traced"])
        before = service.cpu_seconds()
        wait_until(lambda: service.cpu_seconds() > before + 0.5)  # it is looked at meanwhile
        service.do("_load.hold_gil(1)")
        assert attacher.stderr is not None
        err = ""
        # Any code may stall where a machine has no CPU for it.
        while "<module>" not in err or " is over: " not in err.partition("<module>")[2]:
            err += (line := attacher.stderr.readline())
            assert line, err
        attacher.send_signal(signal.SIGINT)
        out, rest = attacher.communicate(timeout=TIMEOUT)
    assert attacher.returncode == 0, err + rest
    assert 0.1 <= float(re.findall(r"has held the GIL for (\S+) s", err)[0]) < 1
    assert "work (<string>" in (tmp_path / "stacks").read_text()
    assert "by line" in out and "exactly" in out


@needs_asking
def test_attached_twice_at_once(tmp_path: Path) -> None:
    with running(tmp_path, "busy") as service:
        both = [service.attach("--seconds", "1") for _ in range(2)]
        for one in both:
            out, err = one.communicate(timeout=TIMEOUT)
            assert (one.returncode, err) == (0, "") and "exactly" in out


def test_of_several_that_came_the_last_one_removes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "stalls").touch()
    (first, theirs), (second, others) = socket.socketpair(), socket.socketpair()
    attached.attach(theirs, str(folder))
    [wanted] = attached._ATTACHED
    attached.attach(others, str(folder))
    [unwanted] = attached._ATTACHED - {wanted}
    second.close()  # nobody speaks to that one
    wait_until(lambda: not unwanted.is_running)
    assert (folder / "stalls").exists() and {wanted} == attached._ATTACHED
    first.close()
    wait_until(lambda: not wanted.is_running)
    assert not folder.exists() and not attached._ATTACHED


@needs_asking
def test_a_process_that_does_not_let_itself_be_asked(tmp_path: Path) -> None:
    with running(tmp_path, "busy", "-X", "disable-remote-debug") as service:
        got = service.attached("--seconds", "0.1")
    assert got.returncode == 2 and "-X disable-remote-debug" in got.stderr


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it can be asked")
def test_a_python_that_cannot_be_asked(tmp_path: Path) -> None:
    with running(tmp_path, "busy") as service:
        got = service.attached()
    version = "{}.{}".format(*sys.version_info)
    assert got.returncode == 2 and f"runs Python {version}, which cannot be asked" in got.stderr


@pytest.mark.parametrize(
    ("version", "root", "error", "said"),
    [
        ((3, 99), "/proc/self", "No module named 'gilknocker'", "for another Python: install it"),
        (
            sys.version_info[:2],
            "/nowhere",
            "No module named 'gilknocker'",
            "cannot be reached from",
        ),
        ((3, 99), "/proc/self", "No module named 'gilknocker.meters.x'", "an older gilknocker, or"),
        ((3, 99), "/proc/self", "it has another version of gilknocker", "the same there as here"),
        ((3, 99), "/proc/self", "MemoryError", ""),
    ],
)
def test_what_helps_is_said(version: tuple[int, int], root: str, error: str, said: str) -> None:
    target = SimpleNamespace(version=version, process=SimpleNamespace(folder=root))
    helps = hint(target, error)
    assert said in helps and bool(said) == bool(helps)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--interval-micros", "100"],
            "--interval-micros is for --stacks, or --method look or count",
        ),
        (["--stalls", "1ms"], "--stalls must be from 10 ms to 3600 s"),
        (["--method", "x"], "invalid choice: 'x'"),
        (["--timeout", "0"], "must be a number of seconds"),
    ],
)
def test_what_cannot_be(words: list[str], said: str) -> None:
    got = subprocess.run(
        [sys.executable, "-m", "gilknocker", "attach", *words, "2147483646"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    assert got.returncode == 2 and got.stderr.startswith("gilknocker: error: ")
    assert said in got.stderr and got.stderr.count("\n") == 1
