"""What a process is, and what becomes of it while it is looked at: said as it is."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading

import pytest
from needs import needs_gil
from watched import running

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

from gilknocker.commands.first_stderr import FirstStderr
from gilknocker.commands.outside import watched
from gilknocker.meters.outside.process import Process
from gilknocker.meters.outside.target import Target

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


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gilknocker", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


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
