"""Requests to threads of another process: asked, taken back; one that stands still."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from needs import needs_asking, needs_gil
from waiting import wait_until

outside = pytest.importorskip("gilknocker._outside")
if sys.platform != "linux" or platform.machine() != "x86_64":
    pytest.skip("reads /proc, by numbers of x86-64", allow_module_level=True)

from gilknocker.meters.outside.debugger import _WANTED, Debugger  # noqa: E402
from gilknocker.meters.outside.relatives import children  # noqa: E402
from gilknocker.meters.outside.target import Target, Unreadable  # noqa: E402

pytestmark = [needs_gil]

TIMEOUT = 60
# Its main thread waits for a line, and others run or sleep: then a line of code is run.
PROGRAM = """
import sys, threading, time
def work():
    while True:
        sum(range(20_000))
        time.sleep(0.001)
for _ in range(int(sys.argv[1])):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
for line in sys.stdin:
    for _ in range(1000): pass  # a thread that runs looks at what it was asked
    print(line, end="", flush=True)
"""


def waits_for_a_line(process: subprocess.Popen[str]) -> bool:
    """Whether the main thread is in read(0, ...): before, it does at once what it is asked."""
    with open(f"/proc/{process.pid}/syscall", encoding="ascii") as file:
        return file.read().split()[:2] == ["0", "0x0"]


@contextmanager
def running(workers: int, *flags: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *flags, "-c", PROGRAM, str(workers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        wait_until(lambda: waits_for_a_line(process))
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT)


def wake(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("awake\n")
    process.stdin.flush()
    while process.stdout.readline() != "awake\n":
        pass


def script(folder: Path) -> tuple[Path, Path]:
    """Return a file to be run, and the one that it makes then."""
    file, made = folder / "script.py", folder / "made"
    file.write_text(f"open({str(made)!r}, 'a').write('x')")
    return file, made


def appears(path: Path) -> bool:
    end = time.monotonic() + TIMEOUT
    while not path.exists() and time.monotonic() < end:
        time.sleep(0.001)
    return path.exists()


def state_of(thread: int) -> str:
    status = Path(f"/proc/{thread}/status").read_text()
    return status.partition("State:\t")[2][0]


def test_a_thread_stands_still_and_goes_on() -> None:
    with running(0) as process:
        with outside.Pause(process.pid, 10**9):
            assert state_of(process.pid) == "t"
            with pytest.raises(OSError, match="thread of another process"):
                outside.Pause(process.pid, 10**9)  # somebody traces it already
        assert state_of(process.pid) != "t"
        wake(process)
    for number in (process.pid, 0, os.getpid()):  # one that ended, none, one of ours
        with pytest.raises(OSError, match="thread of another process"):
            outside.Pause(number, 10**9)


# As vfork(2) does it: its thread can be woken by nothing until its child has ended.
UNINTERRUPTIBLE = """
import ctypes, time
SYS_clone, CLONE_VFORK, SIGCHLD = 56, 0x4000, 17
if ctypes.CDLL(None).syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0) == 0:
    print("ready", flush=True)
    time.sleep(600)
print("awake", flush=True)
time.sleep(600)
"""


def test_one_that_cannot_stop_is_let_go_when_it_can() -> None:
    before = set(os.listdir("/proc/self/task"))
    process = subprocess.Popen(
        [sys.executable, "-c", UNINTERRUPTIBLE], stdout=subprocess.PIPE, text=True
    )
    child = 0
    try:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        [child] = children(process.pid)
        with pytest.raises(OSError, match="thread of another process") as caught:
            outside.Pause(process.pid, 50_000_000)
        assert caught.value.errno == errno.ETIMEDOUT
        os.kill(child, signal.SIGKILL)
        child = 0
        assert process.stdout.readline() == "awake\n"
        wait_until(lambda: set(os.listdir("/proc/self/task")) <= before)
        with outside.Pause(process.pid, 10**9):  # nobody traces it any more
            assert state_of(process.pid) == "t"
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate(timeout=TIMEOUT)


@needs_asking
def test_the_main_thread_is_asked(tmp_path: Path) -> None:
    file, made = script(tmp_path)
    with running(0) as process:
        debugger = Debugger(Target(process.pid))
        assert debugger.ask_the_main_thread(str(file))
        assert not Debugger(Target(process.pid)).ask_the_main_thread(str(file))  # it is asked
        debugger.insist()
        wake(process)
        assert made.read_text() == "x"
        assert debugger.withdraw() == 1


@needs_asking
def test_what_was_asked_is_taken_back(tmp_path: Path) -> None:
    file, made = script(tmp_path)
    with running(0) as process:
        debugger = Debugger(Target(process.pid))
        assert debugger.ask_the_main_thread(str(file))
        debugger.insist()
        assert debugger.withdraw() == 1
        wake(process)
        assert not made.exists()


@needs_asking
def test_what_was_asked_is_taken_back_after_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, made = script(tmp_path)
    with running(0) as process:
        debugger = Debugger(Target(process.pid))
        write = debugger._write

        def interrupted(address: int, content: bytes) -> None:
            write(address, content)
            if content == _WANTED:
                raise KeyboardInterrupt

        monkeypatch.setattr(debugger, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            debugger.ask_the_main_thread(str(file))
        monkeypatch.undo()
        debugger.insist()
        assert debugger.withdraw() == 1
        wake(process)
        assert not made.exists()


@needs_asking
def test_a_thread_that_runs_is_asked(tmp_path: Path) -> None:
    file, made = script(tmp_path)
    with running(1) as process:
        debugger = Debugger(Target(process.pid))
        # The main thread may have held the GIL last; it is not asked again, and takes no notice.
        assert debugger.ask_the_main_thread(str(file))
        wait_until(lambda: debugger.ask_another_thread(str(file)))
        assert appears(made)
        # It was asked once, though it goes on to hold the GIL.
        assert not debugger.ask_another_thread(str(file))
        assert debugger.withdraw() == 2
        wake(process)
        assert made.read_text() == "x"


@needs_asking
def test_a_thread_that_has_ended_is_not_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(1) as process:
        target = Target(process.pid)
        debugger = Debugger(target)
        monkeypatch.setattr(target, "is_there", lambda thread: False)
        monkeypatch.setattr(debugger, "_write", lambda *_: pytest.fail("written to"))
        for _ in range(100):
            assert not debugger.ask_another_thread("/nowhere")


@needs_asking
def test_a_path_that_is_too_long() -> None:
    with running(0) as process:
        debugger = Debugger(Target(process.pid))
        with pytest.raises(Unreadable, match="is too long for process"):
            debugger.ask_the_main_thread("x" * 1000)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="it can be asked")
def test_a_python_that_cannot_be_asked() -> None:
    with running(0) as process, pytest.raises(Unreadable, match="cannot be asked to run anything"):
        Debugger(Target(process.pid))
