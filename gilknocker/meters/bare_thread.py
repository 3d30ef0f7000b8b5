"""A thread of ours that runs Python code, and that the program does not meet."""

from __future__ import annotations

import sys
import threading
from _thread import allocate_lock
from contextlib import suppress

from gilknocker import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BareThread", "tell_excepthook"]


class BareThread:
    """One thread at a time, unknown to :mod:`threading`: its use of the GIL is ours.

    A program that counts or joins its threads does not meet it, and the interpreter does not wait
    for it. When `wait` says that it has ended it was joined: Python counts the system's threads at
    a fork, and warns of more than one.
    """

    def __init__(self) -> None:
        self._ended = allocate_lock()  # held while it runs, and while `_thread` is exchanged
        self._thread: _core.OwnThread | None = None  # to be joined

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._ended.locked()

    def start(self, work: Callable[[], object]) -> None:
        """Call `work` on a new thread; nothing happens if one runs.

        Raises
        ------
        RuntimeError, MemoryError
            If there is no thread to be had.
        """
        if not self._ended.acquire(blocking=False):
            return

        def run() -> None:
            try:
                work()
            finally:
                self._ended.release()

        # Before it starts, for it may end at once.
        thread = self._thread = _core.OwnThread(run)
        try:
            thread.start()
        except BaseException:
            self._thread = None
            self._ended.release()
            raise

    def wait(self, timeout_ns: int) -> bool:
        """Wait until it has ended; False if it is still there. Never from `work`."""
        if not self._ended.acquire(timeout=timeout_ns / 1e9):
            return False
        thread, self._thread = self._thread, None
        self._ended.release()
        if thread is not None:
            thread.join()
        return True


def tell_excepthook(error: BaseException) -> None:
    """Tell ``threading.excepthook``, and `sys.excepthook` what that raises: the thread goes on."""
    try:
        raised = (type(error), error, error.__traceback__, None)
        threading.excepthook(threading.ExceptHookArgs(raised))
    except BaseException as of_hook:
        with suppress(BaseException):  # no hook of the program's may end the thread
            sys.excepthook(type(of_hook), of_hook, of_hook.__traceback__)
