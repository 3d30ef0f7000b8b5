"""A file that another process is asked to run: the protocol of ``sys.remote_exec`` (PEP 768).

CPython asks the main thread alone, which may be asleep for long. The protocol knows no such limit:
each thread has a place for a request, and looks there when it next minds its interrupts.
"""

from __future__ import annotations

import os
import struct
from contextlib import contextmanager, suppress

from gilknocker import _outside
from gilknocker.meters.outside.process import NoProcess
from gilknocker.meters.outside.target import Unreadable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilknocker.meters.outside.target import Target, Thread

__all__ = ["Debugger"]

_SUPPORT = struct.Struct("<6Q")
_MOST_OFFSET = 2**20
# <internal/pycore_ceval.h>: _PY_EVAL_PLEASE_STOP_BIT, as the protocol has it.
_PLEASE_STOP = 1 << 5
_WANTED = struct.pack("<i", 1)
_PATIENCE_NS = 100_000_000


class Debugger:
    """Asks threads of a process to run a file, and takes back what was not done.

    Parameters
    ----------
    target : Target
        The process.

    Raises
    ------
    Unreadable
        If it cannot be asked, or has been told not to let itself be.
    NoProcess
        If it has ended.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._pid = target.process.pid
        version = "{}.{}".format(*target.version)
        where = target.debugger_support()
        if where is None:
            raise Unreadable(
                f"process {self._pid} runs Python {version}, which cannot be asked to run "
                "anything: attach needs 3.14 or newer there; record, top and dump read it from "
                "outside"
            )
        support, interpreter = where
        numbers = _SUPPORT.unpack(self._read(support, _SUPPORT.size))
        self._breaker, self._request, enabled, pending, path, self._room = numbers
        if max(numbers) > _MOST_OFFSET or self._room < 64 or not self._request:
            raise Unreadable(f"process {self._pid} does not say how it can be asked")
        self._pending, self._path = self._request + pending, self._request + path
        [allowed] = struct.unpack("<i", self._read(interpreter + enabled, 4))
        if allowed != 1:
            raise Unreadable(
                f"process {self._pid} does not let itself be attached to: it was started with "
                "PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug; record, top and dump read "
                "it from outside"
            )
        self._main: Thread | None = None  # which of them were asked
        self._others: list[Thread] = []

    def _read(self, address: int, size: int) -> bytes:
        try:
            return _outside.read(self._pid, address, size)
        except OSError as error:
            raise NoProcess(self._target.process.denied(error)) from None

    def _write(self, address: int, content: bytes) -> None:
        try:
            _outside.write(self._pid, address, content)
        except OSError as error:
            raise NoProcess(self._target.process.denied(error)) from None

    # ---- asking --------------------------------------------------------------------------------

    def ask_the_main_thread(self, path: str) -> bool:
        """Ask the main thread to run a file; False if somebody else's request waits there.

        What it has is there as long as its interpreter is: it can be written to as it runs.
        """
        number = self._target.process.number_there()  # the first thread has that of the process
        main = [one for one in self._target.threads() if one.native_id == number]
        if not main or self._is_pending(main[0]):
            return False
        self._main = main[0]  # first: we may be interrupted, and then it is to be taken back
        self._ask(self._main, path)
        return True

    def insist(self) -> None:
        """Make the main thread look, where nothing else does.

        Its flags are not ours alone: one that the process sets in the very microsecond between our
        read and our write would be lost. Most threads look without it, many times in a second.
        """
        if self._main is not None and self._is_pending(self._main):
            self._set_breaker(self._main)

    def ask_another_thread(self, path: str) -> bool:
        """Ask the thread that held the GIL last, once each; whether one was asked.

        What it has is freed when it ends: it is stopped while it is written to.
        """
        state = self._target.last_holder()
        if not state or state in {one.state for one in (self._main, *self._others) if one}:
            return False
        thread = self._thread(state)
        if thread is None:
            return False
        with suppress(OSError), self._standing_still(thread) as is_there:
            if is_there and not self._is_pending(thread):
                self._others.append(thread)
                self._ask(thread, path)
                self._set_breaker(thread)
                return True
        return False

    def withdraw(self) -> int:
        """Take back what was not begun: a thread that wakes up later does nothing.

        Return how many were asked: so many may have begun, even at this very moment.
        """
        with suppress(NoProcess):
            if self._main is not None:
                self._forget(self._main)
            for thread in self._others:
                with suppress(OSError), self._standing_still(thread) as is_there:
                    if is_there:
                        self._forget(thread)
        return len(self._others) + (self._main is not None)

    # ---- how -----------------------------------------------------------------------------------

    def _thread(self, state: int) -> Thread | None:
        return next((one for one in self._target.threads() if one.state == state), None)

    @contextmanager
    def _standing_still(self, thread: Thread) -> Iterator[bool]:
        """Let a thread stand still, and say whether it is still the one that it was."""
        number = self._target.process.thread_here(thread.native_id)
        with _outside.Pause(number, _PATIENCE_NS):
            yield self._target.is_there(thread)

    def _ask(self, thread: Thread, path: str) -> None:
        raw = os.fsencode(path) + b"\0"
        if len(raw) > self._room:
            raise Unreadable(f"the path {path!r} is too long for process {self._pid}")
        self._write(thread.state + self._path, raw)
        self._write(thread.state + self._pending, _WANTED)

    def _is_pending(self, thread: Thread) -> bool:
        return self._read(thread.state + self._pending, len(_WANTED)) == _WANTED

    def _forget(self, thread: Thread) -> None:
        """Take back what a thread was asked, if it has not begun."""
        if self._is_pending(thread):
            self._write(thread.state + self._pending, bytes(len(_WANTED)))

    def _set_breaker(self, thread: Thread) -> None:
        # One byte: the others have the version of the instrumentation, which is none of ours.
        address = thread.state + self._breaker
        flags = self._read(address, 1)[0]
        self._write(address, bytes([flags | _PLEASE_STOP]))
