"""Ends of the interpreter with running knockers, at random moments."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from registry import fault
from subject import (
    daemon,
    is_ours,
    kept,
    make,
    numbers,
    pause,
    quiet_unraisable,
    started,
)

# There a thread that waits for the GIL while the interpreter is destroyed may crash in take_gil(),
# whatever is installed: daemons that run Python to the very end are not tried.
PYTHON_DAEMONS = sys.version_info >= (3, 11)

_handlers: list[Callable[[], None]] = []


# Registered before the package's own handler, and so called after it.
@atexit.register
def _late() -> None:
    for handler in _handlers:
        handler()


@fault("falls off the end")
def end() -> None:
    kept.extend(started(numbers.choice([1, 1, 5])))
    pause()


@fault("is dropped, or kept in a cycle")
def dropped() -> None:
    mine = started()
    pause()
    if numbers.random() < 0.5:
        mine.append(mine)


@fault("`sys.exit`", status=7)
def sys_exit() -> None:
    kept.extend(started())
    pause()
    sys.exit(7)


@fault("uncaught exception", status=1, last_words="ValueError: on purpose\n")
def uncaught() -> None:
    kept.extend(started())
    pause()
    raise ValueError("on purpose")


@fault("`os._exit`", status=7)
def os_exit() -> None:
    kept.extend(started())
    pause()
    os._exit(7)


@fault("SIGTERM", status=-signal.SIGTERM)
def sigterm() -> None:
    kept.extend(started())
    daemon(lambda: (pause(), os.kill(os.getpid(), signal.SIGTERM)))
    while True:
        kept[0].stop()
        kept[0].start()


@fault("SIGTERM handled, in `start` and `stop`", status=7)
def sigterm_handled() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    kept.extend(started())
    daemon(lambda: (pause(), os.kill(os.getpid(), signal.SIGTERM)))
    while True:
        kept[0].stop()
        kept[0].start()


@fault("SIGINT in `start` and `stop`, then used again", status=7)
def sigint() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    mine = make()
    kept.append(mine)
    mine.start()  # the first one imports: interrupted, Python leaves a file to the collector
    mine.stop()
    try:
        daemon(lambda: (pause(), os.kill(os.getpid(), signal.SIGINT)))
        while True:
            mine.start()
            mine.stop()
    except KeyboardInterrupt:
        mine.stop()
        assert not mine.is_running
        mine.start()
        assert mine.is_running
        sys.exit(7)


@fault("daemon threads still running")
def daemons() -> None:
    def spin() -> None:
        while True:
            if not PYTHON_DAEMONS:
                time.sleep(3600)

    kept.extend(started(2))
    daemon(spin)
    daemon(spin)
    pause()


@fault("daemon threads that use it", status=7)
def daemons_that_use_it() -> None:
    mine = make()
    kept.append(mine)

    def use() -> None:
        while True:
            try:
                mine.start()
                mine.stop()
            except RuntimeError:  # the interpreter is exiting
                time.sleep(3600)

    daemon(use)
    daemon(use)
    pause()
    if PYTHON_DAEMONS and numbers.random() < 0.5:
        sys.exit(7)
    os._exit(7)


@fault("daemon threads that trace, or begin to", status=7, only_ours=True)
def daemons_that_trace() -> None:
    begun = threading.Event()

    def trace() -> None:
        begun.set()
        from gilknocker import GilTracer  # tries it out at its first import

        if not GilTracer.supported()[0]:
            return
        tracer = GilTracer(0)
        while True:
            try:
                tracer.start()
                tracer.stop()
            except RuntimeError:  # the interpreter is exiting
                time.sleep(3600)

    def spin() -> None:
        while True:
            pass

    kept.append(make())
    daemon(spin)
    daemon(trace)
    daemon(trace)
    begun.wait()
    pause()
    if PYTHON_DAEMONS:
        sys.exit(7)
    os._exit(7)


@fault("handler of a signal that raises, during the exit")
def interrupted() -> None:
    quiet_unraisable()

    def interrupt(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGURG, interrupt)  # which is ignored when Python is not there any more
    kept.extend(started(numbers.choice([1, 5, 20])))
    delays = [numbers.random() * 1e-3 for _ in range(6)]
    read, write = os.pipe()
    if os.fork() == 0:
        os.read(read, 1)
        for delay in delays:
            time.sleep(delay)
            os.kill(os.getppid(), signal.SIGURG)
        os._exit(0)
    atexit.register(partial(os.write, write, b"!"))  # all in C: nothing of it can be interrupted
    pause()


@fault("first used in an `atexit` handler")
def late_import() -> None:
    def late() -> None:
        kept.extend(started())
        time.sleep(numbers.random() * 0.02)

    atexit.register(late)


@fault("`atexit` handlers that use it")
def exit_handlers() -> None:
    mine = started()[0]
    kept.append(mine)

    def late() -> None:
        mine.stop()
        assert not mine.is_running
        assert 0.0 <= mine.contention_metric <= 1.0
        if is_ours():
            mine.snapshot()
        try:
            mine.start()
        except RuntimeError:
            return

    def early() -> None:
        assert mine.is_running
        mine.stop()
        mine.start()
        kept.extend(started())

    _handlers.append(late)
    atexit.register(early)
    pause()


@fault("finalizer in the dying interpreter")
def finalizer() -> None:
    class Late:
        def __init__(self) -> None:
            [self.knocker] = started()
            self.itself = self

        def __del__(self) -> None:
            self.knocker.stop()

    Late()
    pause()
