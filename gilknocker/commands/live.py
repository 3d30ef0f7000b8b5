"""One status line, repainted every second while a program runs.

Plain ANSI text and no library: it is one line, and what a library for terminals adds (tables,
colours, scrolling regions) would have to be installed, imported before the program, and would take
the terminal from it.
"""

from __future__ import annotations

import os

# Now: the program may replace it, and the thread goes on after each of its forks.
from _thread import allocate_lock
from contextlib import suppress

from gilknocker import _core
from gilknocker._units import format_ns, format_percent
from gilknocker.commands.first_stderr import CLEAR_LINE, OpenFile
from gilknocker.meters.bare_thread import BareThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from gilknocker.snapshot.value import Snapshot

__all__ = ["StatusLine", "status"]

PERIOD_SECS = 1.0
_PERIOD_NS = int(PERIOD_SECS * 1e9)


def status(window: Snapshot, elapsed_ns: int) -> str:
    """Return the status line for the last second."""
    fraction = window.held_fraction
    if fraction is None:
        held = "no GIL"
    elif fraction != fraction:  # NaN
        held = "GIL held ? %"
    else:
        held = f"GIL held {format_percent(fraction)} %"
    if window.knocks:
        waits = f"wait p50 {format_ns(window.percentile(50))}, max {format_ns(window.wait_max_ns)}"
    else:
        waits = "nobody waited" if window.method == "trace" else "no knock answered"
    if window.in_flight_ns > window.wait_max_ns:
        waits += f", one waiting for {format_ns(window.in_flight_ns)}"
    return f"[{elapsed_ns // 1_000_000_000} s] {held}; {waits}"


class StatusLine:
    """A thread that paints what happened since it painted last.

    A bare thread, unknown to :mod:`threading`: a program that counts or joins its threads does not
    meet it, and the interpreter does not wait for it. It is started, stopped before a fork and at
    exit by :data:`gilknocker.meters.lifecycle.PROCESS`, as samplers are. Its use of the GIL is
    ours, and not counted with the program's.

    Parameters
    ----------
    snapshot : callable
        Returns the numbers now.
    terminal : OpenFile
        Where to.
    """

    def __init__(self, snapshot: Callable[[], Snapshot], terminal: OpenFile) -> None:
        self._snapshot = snapshot
        self._terminal = terminal
        self._begun_ns = _core.monotonic_ns()
        self._before = snapshot()
        self._stop = allocate_lock()  # held while the thread is to go on
        self._writing = allocate_lock()  # held by who writes, and for _clear_since_ns
        self._clear_since_ns = -_PERIOD_NS  # written by who clears, read by the thread
        self._thread = BareThread()

    @property
    def is_running(self) -> bool:
        """Whether the thread is there."""
        return self._thread.is_running

    def start(self) -> None:
        """Start painting."""
        if not self._thread.is_running:
            self._stop.acquire(blocking=False)
            self._thread.start(self._work)

    def stop(self, timeout_ns: int, /) -> bool:
        """Stop painting and clear the line; False if the thread is still there."""
        if self._stop.locked():
            self._stop.release()
        return self._thread.wait(timeout_ns)

    def clear(self) -> None:
        """Erase the line, for what the program will print; it comes again after a second."""
        if not self.is_running:
            return
        with self._writing:
            self._clear_since_ns = _core.monotonic_ns()
            with suppress(OSError):  # the terminal is gone, as the thread will find out too
                self._terminal.write(CLEAR_LINE)

    def _work(self) -> None:
        try:
            while not self._stop.acquire(timeout=PERIOD_SECS):
                self._paint()
            self._terminal.write(CLEAR_LINE)
        except OSError:
            pass  # the terminal is gone

    def _paint(self) -> None:
        now = self._snapshot()
        try:
            window = now - self._before
        except ValueError:  # another epoch: in a program that resets it
            window = now
        self._before = now
        line = status(window, _core.monotonic_ns() - self._begun_ns)
        with self._writing:
            # A traceback may be under way, and would be printed over it.
            if _core.monotonic_ns() >= self._clear_since_ns + _PERIOD_NS:
                # A line that wraps could not be erased. The cursor stays where the program prints.
                self._terminal.write(f"{CLEAR_LINE}{line[: self._columns() - 1]}\r")

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._terminal.fd).columns or 80
        except OSError:
            return 80
