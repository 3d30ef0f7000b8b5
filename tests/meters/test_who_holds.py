"""Who the holders are: threads, by whatever states of the interpreter they come."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from needs import needs_tracer

from gilknocker import KnockKnock
from gilknocker.testing import hold_gil


class ByCallbacks:
    """A thread that Python does not know, and gives another state for each call into Python.

    As a library's thread that calls back: here the destructors of a thread's variables, which the
    system calls one after the other as the thread ends.
    """

    def __init__(self, function: Callable[[], object], calls: int) -> None:
        self.native_id = 0
        libc = ctypes.CDLL(None)

        def destroy(_: int) -> None:
            self.native_id = threading.get_native_id()
            function()

        def begin(_: int) -> None:
            for key in self._keys:
                libc.pthread_setspecific(key, ctypes.c_void_p(1))

        kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
        self._kept = kind(begin), kind(destroy)
        self._keys = []
        for _ in range(calls):
            key = ctypes.c_uint()
            assert libc.pthread_key_create(ctypes.byref(key), self._kept[1]) == 0
            self._keys.append(key)
        self._thread = ctypes.c_ulong()
        created = libc.pthread_create(ctypes.byref(self._thread), None, self._kept[0], None)
        assert created == 0

    def join(self) -> None:
        libc = ctypes.CDLL(None)
        assert libc.pthread_join(self._thread, None) == 0
        for key in self._keys:
            assert libc.pthread_key_delete(key) == 0


@needs_tracer
@pytest.mark.parametrize("method", ["count", "look"])
def test_a_thread_that_calls_back_is_one_holder(method: str) -> None:
    with KnockKnock(method=method) as knocker:  # type: ignore[arg-type]
        thread = ByCallbacks(lambda: hold_gil(0.03), 30)
        thread.join()
        snapshot = knocker.snapshot()
    assert thread.native_id != 0
    if sys.version_info >= (3, 11) or method == "count":  # else nobody knows who looks found
        [share] = [one.share for one in snapshot.holders if one.native_id == thread.native_id]
        assert share > 0.8


INTERPRETERS = """
import _interpreters as interpreters, threading
from gilknocker import KnockKnock
program = "import time; end = time.time() + 0.1\\nwhile time.time() < end: pass"
for number in range(6):
    one = interpreters.create("legacy")
    thread = threading.Thread(target=interpreters.exec, args=(one, program), name=f"job-{number}")
    with KnockKnock(method="count") as knocker:
        thread.start()
        native_id = thread.native_id
        thread.join()
    first = knocker.snapshot().holders[0]
    assert (first.native_id, first.name) == (native_id, thread.name), (number, first)
    interpreters.destroy(one)
"""


@needs_tracer
@pytest.mark.skipif(sys.version_info < (3, 13), reason="runs by the state of who made it, before")
def test_an_interpreter_where_another_one_was() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", INTERPRETERS],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
