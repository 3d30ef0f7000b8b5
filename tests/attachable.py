"""A program that `gilknocker attach` is tried on: it says what it has, and does what it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TIMEOUT = 60
# What is asked on stdin is run by the main thread, which sleeps meanwhile; `work` is another's.
PROGRAM = """
import os, sys, threading, time

def work():
    while True:
        sum(range(20_000))
        time.sleep(0.001)

def opened(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:  # closed meanwhile, or what listed them
        return ""

def state():
    slots = getattr(sys.modules.get("gilknocker._core"), "trace_slots", list)  # it is imported now
    running = getattr(sys.modules.get("gilknocker.meters.tracing"), "RUNNING", ())
    tasks = len(os.listdir("/proc/self/task"))  # before what they have: they close it, and end
    fds = os.listdir("/proc/self/fd")
    return {
        "tasks": tasks,
        "fds": sorted(filter(None, (opened(fd) for fd in fds if int(fd) > 2))),
        "threads": [thread.name for thread in threading.enumerate()],
        "path": sys.path,
        "slots": len(slots()),
        "traced": len(running),  # unlike slots, not also while it is tried out
        "modules": sorted(name for name in list(sys.modules) if "gilknocker" not in name),
    }

def tell():
    import json
    print(json.dumps(state()), flush=True)

if sys.argv[1] == "busy":
    threading.Thread(target=work, daemon=True, name="work").start()
if sys.argv[1] == "spin":
    print("ready", flush=True)
    while True: sum(range(1000))
tell()
for line in sys.stdin:
    exec(line)
    tell()
"""


class Service:
    """A program that says what it has."""

    def __init__(self, folder: Path, what: str, *flags: str) -> None:
        self.temporary = Path(
            tempfile.mkdtemp()
        )  # the attacher's; short, as the name of a socket is
        self.errors = folder / "stderr"
        with self.errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, *flags, "-c", PROGRAM, what],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        self.pid = str(self.process.pid)
        self.first = self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it has ended: {self.process.wait(TIMEOUT)}, {self.errors.read_text()}"
        return line

    def do(self, code: str = "pass") -> dict[str, Any]:
        """Let it run a line of code; return what it has then."""
        assert self.process.stdin is not None
        self.process.stdin.write(code + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self._line()))

    def until(self, condition: Any) -> dict[str, Any]:
        end = time.monotonic() + TIMEOUT
        while not condition(state := self.do()):
            assert time.monotonic() < end, state
            time.sleep(0.01)
        return state

    def cpu_seconds(self) -> float:
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def attach(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "gilknocker", "attach", "--timeout", "60", *words, self.pid],
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def attached(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Attach, and return how that went; no file may stay."""
        process = self.attach(*words)
        out, err = process.communicate(timeout=TIMEOUT)
        assert not list(self.temporary.iterdir())
        return subprocess.CompletedProcess(words, process.returncode, out, err)


@contextmanager
def running(folder: Path, what: str, *flags: str) -> Iterator[Service]:
    service = Service(folder, what, *flags)
    try:
        yield service
        assert service.errors.read_bytes() == b""  # of ours nothing is ever seen there
    finally:
        service.process.kill()
        service.process.communicate(timeout=TIMEOUT)
        service.temporary.rmdir()
