"""What ``gilknocker run`` measures a program with, and how its report comes out at exit."""

from __future__ import annotations

import atexit
import os
import sys

from gilknocker.cli import UsageError
from gilknocker.knock_knock import KnockKnock
from gilknocker.lifecycle import PROCESS
from gilknocker.report import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO, TypeAlias

    from gilknocker.cli import RunOptions
    from gilknocker.live import StatusLine
    from gilknocker.output_file import OutputFile
    from gilknocker.snapshot import Snapshot
    from gilknocker.thread_times import ThreadTimes
    from gilknocker.tracer import GilTracer

    _Render: TypeAlias = Callable[[Snapshot, list[str], int, list[ThreadTimes]], str]

__all__ = ["Meter"]


class Meter:
    """Measures from `begin` until the exit handlers, and reports then.

    Parameters
    ----------
    options : RunOptions
        What was asked for.

    Attributes
    ----------
    exit_status : int
        How the program ended, as ``subprocess`` has it; set by who runs it.

    Raises
    ------
    UsageError
        If the report could not be written to one of its files, or the GIL cannot be traced.
    """

    def __init__(self, options: RunOptions) -> None:
        self.exit_status = 0
        self._program = options.words
        self._pid = os.getpid()
        # Not what the program may put in its place.
        self._stream: TextIO | None = sys.stderr
        self._tracer = _tracer() if options.trace else None
        self._meter: KnockKnock | GilTracer = self._tracer or KnockKnock(
            interval_micros=options.interval_micros
        )
        self._files: list[tuple[OutputFile, _Render]] = []
        self._keep_waits = options.html is not None
        self._live: StatusLine | None = None
        # All imports come before the program: later there may be a json.py in its folder.
        if options.json is not None:
            from gilknocker.output_file import OutputFile
            from gilknocker.report_file import content

            self._files.append((OutputFile("--json", options.json), content))
        if options.html is not None:
            from gilknocker.html_report import page
            from gilknocker.output_file import OutputFile

            self._files.append((OutputFile("--html", options.html), page))
        self._chrome_trace: str | None = None
        if options.chrome_trace is not None:
            from gilknocker.output_file import OutputFile

            OutputFile("--chrome-trace", options.chrome_trace)  # whether it can be written
            self._chrome_trace = os.path.abspath(options.chrome_trace)
        if self._tracer is not None and (self._keep_waits or self._chrome_trace):
            import numpy  # noqa: F401 (single events are arrays)
        if options.live and self._stream is not None:
            from gilknocker.live import StatusLine, understands

            if understands(self._stream):
                self._live = StatusLine(self._meter.snapshot, self._stream.fileno())

    def begin(self) -> None:
        """Start measuring; called before the program, so that its exit handlers come first."""
        atexit.register(self._end)
        if self._live is not None:
            PROCESS.start(self._live)
        self._meter.start()

    def cancel(self) -> None:
        """Forget it: nothing was run."""
        atexit.unregister(self._end)

    def _end(self) -> None:
        if os.getpid() != self._pid:
            return  # a forked child: the report is its parent's
        # The meter is stopped by the exit handler that comes last.
        snapshot = self._meter.snapshot(waits=self._keep_waits)
        threads = self._tracer.threads() if self._tracer is not None else []
        if self._live is not None:
            PROCESS.stop(self._live, 1_000_000_000)
        _flush(sys.stdout)  # where both go to one place, the report comes after what was printed
        self._write(
            text(snapshot, program=self._program, exit_status=self.exit_status, threads=threads)
        )
        for file, render in self._files:
            try:
                file.write(render(snapshot, self._program, self.exit_status, threads))
            except OSError as error:
                self._write(f"gilknocker: error: no report in {file.path!r}: {error}\n")
        if self._tracer is not None and self._chrome_trace is not None:
            try:
                self._tracer.to_chrome_trace(self._chrome_trace)
            except OSError as error:
                self._write(f"gilknocker: error: no trace in {self._chrome_trace!r}: {error}\n")

    def _write(self, message: str) -> None:
        """Write to stderr if it is still there.

        Past its buffer: what cannot be written must not be left in there, for Python would fail
        to flush it and change the exit status to 120.
        """
        stream = self._stream
        if stream is None:
            return
        _flush(stream)
        try:
            data = memoryview(message.encode(stream.encoding or "utf-8", "backslashreplace"))
            while data:
                data = data[os.write(stream.fileno(), data) :]
        except (OSError, ValueError):  # closed, or nobody reads it
            pass


def _tracer() -> GilTracer:
    from gilknocker.tracer import GilTracer, GilTracerUnsupported

    try:
        return GilTracer()
    except GilTracerUnsupported as error:
        raise UsageError(f"--trace: {error}") from None


def _flush(stream: TextIO | None) -> None:
    try:
        if stream is not None:
            stream.flush()
    except Exception:
        pass  # Python tries again, and tells
