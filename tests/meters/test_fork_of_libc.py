"""Forks that Python does not know of: their children compute, and the parent goes on."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

RAW_FORKS = """
    import ctypes, os, signal, sys, threading, time
    from gilknocker import KnockKnock

    fork = getattr(ctypes, sys.argv[1])(None).fork  # PyDLL holds the GIL meanwhile, CDLL does not

    def work():
        for _ in range(3):
            sum(range(20_000))
            time.sleep(0)

    def in_child():
        signal.alarm(20)
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not knocker.is_running
        os._exit(0)

    knocker = KnockKnock(1000, knock_interval_micros=200)
    knocker.start()
    for _ in range(60):
        child = fork()
        if child == 0:
            in_child()
        assert os.waitpid(child, 0)[1] == 0
    before = knocker.snapshot().knocks
    while knocker.snapshot().knocks == before:
        time.sleep(0.001)
"""


@pytest.mark.parametrize("library", ["CDLL", "PyDLL"])
def test_the_child_of_a_fork_of_libc_computes(library: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(RAW_FORKS), library],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
