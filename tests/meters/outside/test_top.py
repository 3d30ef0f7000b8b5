"""`gilknocker top` in a terminal: its keys, and the terminal as it was on every way out."""

from __future__ import annotations

import codecs
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from needs import needs_gil
from waiting import wait_until

pytest.importorskip("gilknocker._outside")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

pytestmark = [needs_gil]

LOAD = """
def aaa_less():
    end = time.process_time() + 0.01
    while time.process_time() < end: pass
def zzz_more():
    end = time.process_time() + 0.05
    while time.process_time() < end: pass
import time
print("ready", flush=True)
while True:
    aaa_less()
    zzz_more()
"""
TIMEOUT = 60


@contextmanager
def target() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=TIMEOUT)


class Terminal:
    """`top` as the foreground of a terminal of its own."""

    def __init__(self, pid: int) -> None:
        self.master, slave = pty.openpty()
        self.modes = termios.tcgetattr(slave)
        self._slave = slave
        self._decode = codecs.getincrementaldecoder("utf-8")().decode  # it comes in pieces
        self.seen = ""
        # What a shell does before a program: a session, and its terminal.
        code = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        code += (
            "; os.execv(sys.executable, [sys.executable, '-m', 'gilknocker', 'top', sys.argv[1]])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(pid)], stdin=slave, stdout=slave, stderr=slave
        )

    def until(self, pattern: str) -> re.Match[str]:
        """Read on until a pattern was seen since the last one."""
        end = time.monotonic() + TIMEOUT
        while not (found := re.search(pattern, self.seen, re.DOTALL)):
            assert time.monotonic() < end, f"no {pattern!r} in {self.seen!r}"
            if select.select([self.master], [], [], 0.1)[0]:
                self.seen += self._decode(os.read(self.master, 65536))
        self.seen = self.seen[found.end() :]
        return found

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def restored(self) -> bool:
        return termios.tcgetattr(self._slave) == self.modes

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(TIMEOUT)
        os.close(self.master)
        os.close(self._slave)


@pytest.fixture
def screen() -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    with target() as process:
        terminal = Terminal(process.pid)
        try:
            terminal.until("GIL held.*q ends, p pauses, s sorts")
            assert not terminal.restored()  # keys come as they are pressed
            yield terminal, process
        finally:
            terminal.close()


_Screen = tuple[Terminal, subprocess.Popen[bytes]]


def test_q_ends_it(screen: _Screen) -> None:
    terminal, _ = screen
    terminal.press(b"xq")
    assert terminal.process.wait(TIMEOUT) == 0
    assert terminal.restored()


def rows(terminal: Terminal, order: str) -> list[tuple[float, float, str]]:
    """Return the figures and names of a screen in that order which has both functions."""
    # Of one screen: that of before may have come again.
    screen = rf"where\r\n([^\x1b]*)q ends[^\x1b]*s sorts \(by {order}\)"
    while True:
        shown = terminal.until(screen)[1]
        found = re.findall(r"(\S+) % +(\S+) %  (.*?)\r\n", shown)
        if "aaa_less" in shown and "zzz_more" in shown:
            return [(float(now), float(total), name) for now, total, name in found]


def test_s_sorts(screen: _Screen) -> None:
    """By the figures that it shows: which function has more is the machine's affair, too."""
    terminal, _ = screen
    shown = rows(terminal, "last second")
    assert shown == sorted(shown, key=lambda row: -row[0])
    terminal.press(b"s")
    shown = rows(terminal, "all")
    assert shown == sorted(shown, key=lambda row: -row[1])
    terminal.press(b"s")
    names = [name for *_, name in rows(terminal, "name")]
    assert names == sorted(names)
    terminal.press(b"s")
    shown = rows(terminal, "last second")
    assert shown == sorted(shown, key=lambda row: -row[0])


def test_p_pauses(screen: _Screen) -> None:
    terminal, _ = screen
    terminal.press(b"p")
    terminal.until("paused; p goes on")
    time.sleep(2.5)  # two seconds in which there is nothing to be seen
    terminal.press(b"s")
    before = terminal.until(r"(.*)\x1b\[H.*?by all")[1]
    assert "GIL held" not in before
    terminal.press(b"p")
    terminal.until("GIL held.*p pauses")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(screen: _Screen, number: signal.Signals) -> None:
    terminal, _ = screen
    if number == signal.SIGINT:
        terminal.press(b"\x03")  # Ctrl-C
    else:
        terminal.process.send_signal(number)
    status = terminal.process.wait(TIMEOUT)
    assert status == (0 if number == signal.SIGINT else -number)
    assert terminal.restored()
    assert "Traceback" not in terminal.seen


def test_the_process_ends(screen: _Screen) -> None:
    terminal, process = screen
    process.kill()
    terminal.until(f"process {process.pid} has ended")
    assert terminal.process.wait(TIMEOUT) == 0
    assert terminal.restored()


def test_ctrl_z_and_back(screen: _Screen) -> None:
    terminal, _ = screen
    terminal.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, terminal.process.pid, os.WSTOPPED | os.WNOWAIT)
    termios.tcsetattr(terminal._slave, termios.TCSANOW, terminal.modes)  # as shells do
    terminal.process.send_signal(signal.SIGCONT)
    wait_until(lambda: not terminal.restored())
    terminal.until("GIL held")
    terminal.press(b"q")
    assert terminal.process.wait(TIMEOUT) == 0
    assert terminal.restored()


def test_without_an_output_it_ends_at_once() -> None:
    with target() as process:
        top = [sys.executable, "-m", "gilknocker", "top", str(process.pid)]
        got = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *top],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=TIMEOUT,
        )
    assert got.returncode == 2
    assert got.stderr == "gilknocker: error: top: standard output is closed\n"


def test_plain_lines_elsewhere() -> None:
    with target() as process:
        top = subprocess.Popen(
            [sys.executable, "-m", "gilknocker", "top", str(process.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert top.stdout is not None
        lines = [top.stdout.readline() for _ in range(8)]
        process.kill()
        process.wait(TIMEOUT)
        rest, _ = top.communicate(timeout=TIMEOUT)
    everything = "".join(lines) + rest
    assert top.returncode == 0 and rest.endswith(f"process {process.pid} has ended\n")
    assert lines[0].startswith(f"process {process.pid}, Python ")
    assert re.search(r"^\d\d:\d\d:\d\d  GIL held \d+\.\d %", lines[1])
    assert "\x1b" not in everything and "q ends" not in everything
