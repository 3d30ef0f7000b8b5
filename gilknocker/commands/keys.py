"""Single keys of a terminal, which is as it was before on every way out."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

    from typing_extensions import Self

__all__ = ["Keys"]

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """A signal is to end the process."""


class Keys:
    """Keys as they are pressed, where stdin is a terminal that this process may read.

    On the way out the terminal gets its modes back, and a signal that was to end the process does.
    Of Ctrl-Z it takes care, too: the keys are there again when the process goes on. Elsewhere (a
    pipe, a process in the background) there are none, and `wait` only waits.
    """

    def __init__(self) -> None:
        self._fd = 0
        self._modes: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._signal = 0
        self._entered = False

    def __enter__(self) -> Self:
        if not _may_be_read(self._fd):
            return self
        self._modes = termios.tcgetattr(self._fd)
        for number in _ENDING:
            if signal.getsignal(number) is signal.SIG_DFL:  # ignored under nohup
                self._handlers[number] = signal.signal(number, self._end)
        self._handlers[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._go_on)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._modes is not None:
            # Now, and not once the output is drained: a stopped terminal would keep us here.
            termios.tcsetattr(self._fd, termios.TCSANOW, self._modes)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._signal:
            signal.raise_signal(self._signal)

    @property
    def there(self) -> bool:
        """Whether keys can be pressed."""
        return self._modes is not None

    def wait(self, seconds: float) -> str:
        """Wait for a key; "" if there was none in time, "q" if there will be none any more."""
        if not self.there:
            time.sleep(seconds)
            return ""
        if not self._entered:  # here: an interrupt of __enter__ would leave it so
            self._entered = True
            self._go_on()
        if not select.select([self._fd], [], [], seconds)[0]:
            return ""
        try:
            key = os.read(self._fd, 1)
        except OSError:
            key = b""
        return key.decode("ascii", "replace") or "q"  # the terminal has hung up

    def _end(self, number: int, frame: FrameType | None) -> None:
        self._signal = number
        raise _Ended

    def _go_on(self, number: int = 0, frame: FrameType | None = None) -> None:
        if _may_be_read(self._fd):
            tty.setcbreak(self._fd, termios.TCSANOW)


def _may_be_read(fd: int) -> bool:
    try:
        return os.isatty(fd) and sys.stdout.isatty() and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:  # a terminal, but not ours
        return False
