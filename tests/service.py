"""Services of a test: on loopback, on a port that was free, ended whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 30


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def page(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return str(answer.read().decode())


@contextmanager
def service(
    command: Sequence[str | Path], ready: str, log: Path, **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command until the block ends; `ready` is an address that answers once it serves."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
    try:
        _wait_until_ready(process, ready, log)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait_until_ready(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            page(ready)
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"it does not answer:\n{log.read_text()[-3000:]}") from None
            time.sleep(0.05)
