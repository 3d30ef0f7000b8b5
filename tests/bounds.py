"""What keeps a test from depending on how it was called, and from waiting without an end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INHERITED = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTERM")


@contextmanager
def ordinary_signals() -> Iterator[None]:
    """Let children have the defaults of all signals, while this process ignores what it did."""
    before = {}
    for number in (getattr(signal, name) for name in INHERITED if hasattr(signal, name)):
        if signal.getsignal(number) is signal.SIG_IGN:
            before[number] = signal.signal(number, lambda *_: None)
    blocked = set()
    if hasattr(signal, "pthread_sigmask"):
        blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if blocked:
            signal.pthread_sigmask(signal.SIG_BLOCK, blocked)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in the main thread after so many seconds, and again later."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def interrupt(*_: object) -> None:
        raise TimeoutError(f"it did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    outer, _ = signal.setitimer(signal.ITIMER_REAL, seconds, seconds / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, outer)
