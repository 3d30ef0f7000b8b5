"""What a process is, and what becomes of it while it is looked at: said as it is."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from needs import needs_gil
from runs import command
from waiting import wait_until
from watched import running

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker.commands.first_stderr import FirstStderr
from gilknocker.commands.outside import watched
from gilknocker.commands.top import Screen
from gilknocker.meters.outside import family
from gilknocker.meters.outside.process import Process
from gilknocker.meters.outside.relatives import stat
from gilknocker.meters.outside.target import Target, Unreadable
from gilknocker.meters.outside.watch import OutsideMeter

pytestmark = [needs_gil]

EXECUTES = """
import os, signal, sys
def execute(*_):
    os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])
signal.signal(signal.SIGUSR1, execute)
print("ready", flush=True)
while True:
    pass
"""


def status_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def recorded(target: Target, seconds: float) -> None:
    """Measure it, and print the report, as `record` does."""
    options = argparse.Namespace(pid=target.process.pid, seconds=seconds, interval_micros=None)
    watched(target, options, [], FirstStderr())


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGKILL])
def test_who_executes_another_program_has_not_ended(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(EXECUTES, "x") as process:
        target = Target(process.pid)
        timer = threading.Timer(0.3, process.send_signal, [number])
        timer.start()
        recorded(target, 60)
        timer.join()
        what = "ended" if number == signal.SIGKILL else "executed another program"
        assert f"  Note: process {process.pid} has {what}.\n" in capsys.readouterr().out
        assert target.process.is_replaced == (number == signal.SIGUSR1)


def test_who_executes_another_program_while_it_is_made_out_is_made_out_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_out: list[bool] = []

    def make_out(target: Target, pid: int) -> None:
        made_out.append(True)
        if len(made_out) == 1:
            process.send_signal(signal.SIGUSR1)
            wait_until(lambda: target.process.is_replaced)
            raise Unreadable("an address is not there")

    with running(EXECUTES, "x") as process:
        monkeypatch.setattr(Target, "_make_out", make_out)
        target = Target(process.pid)
        assert len(made_out) == 2 and target.process.pid == process.pid


def test_a_thread_is_no_process() -> None:
    threads = """if True:
        import threading, time
        thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
        thread.start()
        print("ready", flush=True)
        thread.join()
    """
    with running(threads, "idle") as process:
        [number] = set(Process(process.pid).threads()) - {process.pid}
        got = command("dump", str(number))
    said = f"gilknocker: error: {number} is a thread of process {process.pid}: give that\n"
    assert (got.returncode, got.stdout, got.stderr) == (2, "", said)


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGSTOP)
    wait_until(lambda: Process(process.pid).is_stopped)


def test_a_stopped_process_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    with running(EXECUTES, "x") as process:
        said = f"process {process.pid} is stopped (by a signal or a debugger): nothing runs in it"
        target = Target(process.pid)
        recorded(target, 0.1)
        assert "stopped" not in capsys.readouterr().out
        stop(process)
        recorded(target_again := Target(process.pid), 0.1)
        assert f"  Note: {said}.\n" in capsys.readouterr().out
        assert said in command("dump", str(process.pid)).stdout.splitlines()
        assert json.loads(command("dump", "--json", str(process.pid)).stdout)["stopped"] is True
        screen = Screen(OutsideMeter(target_again), "", False)
        assert said in screen.lines()
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: not target.process.is_stopped)
        assert said not in screen.lines()
        assert json.loads(command("dump", "--json", str(process.pid)).stdout)["stopped"] is False


def test_who_is_let_go_on_was_stopped_at_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(EXECUTES, "x") as process:
        stop(process)
        target = Target(process.pid)

        def goes_on(meter: OutsideMeter, seconds: float) -> bool:
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: not target.process.is_stopped)
            return False

        monkeypatch.setattr(OutsideMeter, "wait", goes_on)
        recorded(target, 60)
    how = "(by a signal or a debugger): nothing ran in it then"
    said = f"process {process.pid} was stopped at first {how}."
    assert f"  Note: {said}\n" in capsys.readouterr().out


@pytest.mark.skipif(
    "Kthread:\t1" not in status_of(2) or os.geteuid() != 0, reason="none here, or not to be read"
)
def test_a_thread_of_the_kernel_is_named() -> None:
    name = Process(2).kernel_name()
    got = command("dump", "2")
    assert name == "kthreadd" and not Process(os.getpid()).kernel_name()
    assert got.returncode == 2 and got.stderr.endswith(": it is the kernel's 'kthreadd'\n")


@pytest.mark.parametrize("looks", [0, 1])
def test_why_one_is_not_measured_stands_when_it_ends_between_two_questions(
    looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(family, "_TRIES_SECONDS", 0)
    with subprocess.Popen(["sleep", "60"]) as process:
        wait_until(lambda: Process(process.pid).command() == ["sleep", "60"])
        found = stat(process.pid)
        assert found
        member = family.Member(found, process.pid, 1000)
        for _ in range(looks):
            member.look(found)
        said = member.problem
        assert ("it ended too early", "runs no CPython")[looks] in said
        process.kill()
        wait_until(lambda: Process(process.pid).has_ended)
        member.look(found)  # which was read a moment before
        assert member.problem == said
        member.end()
