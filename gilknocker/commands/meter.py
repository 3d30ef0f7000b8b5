"""What ``gilknocker run`` measures a program with, and how its report comes out at exit."""

from __future__ import annotations

import atexit
import os
import sys

from gilknocker.commands.first_stderr import CLEAR_LINE, FirstStderr, flush
from gilknocker.commands.options import UsageError
from gilknocker.meters.knock_knock import KnockKnock
from gilknocker.meters.lifecycle import PROCESS
from gilknocker.reports.words import text
from gilknocker.snapshot import holders  # noqa: F401 (of Snapshot.holders)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import TypeAlias

    from gilknocker._files import Target
    from gilknocker.commands.live import StatusLine
    from gilknocker.commands.options import RunOptions
    from gilknocker.meters.tracer import GilTracer
    from gilknocker.snapshot.thread_times import ThreadTimes
    from gilknocker.snapshot.value import Snapshot

    _Render: TypeAlias = Callable[[Snapshot, list[str], int, list[ThreadTimes]], str]
    _Write: TypeAlias = Callable[["Run"], None]

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
    hidden : dict
        Modules that we imported and the program has its own of; set by who runs it.

    Raises
    ------
    UsageError
        If the report could not be written to one of its files, or the GIL cannot be traced.
    """

    def __init__(self, options: RunOptions) -> None:
        self.exit_status = 0
        self.hidden: dict[str, ModuleType] = {}
        self._program = options.words
        self._pid = os.getpid()
        self._stderr = FirstStderr()
        self._tracer = _tracer() if options.trace else None
        self._meter: KnockKnock | GilTracer = self._tracer or KnockKnock(
            interval_micros=options.interval_micros
        )
        self._keep_waits = options.html is not None
        # All imports come before the program: later there may be a json.py in its folder, or no
        # file to be had any more.
        self._outputs = _outputs(options, self._stderr)
        if self._tracer is not None and options.html is not None:
            import numpy  # noqa: F401 (single events are arrays)
        self._live: StatusLine | None = None
        if options.live and self._stderr.file is not None and self._stderr.is_terminal():
            from gilknocker.commands.live import StatusLine

            self._live = StatusLine(self._meter.snapshot, self._stderr.file)

    def begin(self) -> None:
        """Start measuring; called before the program, so that its exit handlers come first."""
        atexit.register(self._end)
        if self._live is not None:
            PROCESS.start(self._live)
        self._meter.start()

    def cancel(self) -> None:
        """Forget it: nothing was run."""
        atexit.unregister(self._end)

    def make_room(self) -> None:
        """Take the status line away, for what Python will print."""
        if self._live is not None:
            self._live.clear()

    def _end(self) -> None:
        if os.getpid() != self._pid:  # a forked child: the report is its parent's
            return
        own = {name: sys.modules[name] for name in self.hidden if name in sys.modules}
        try:
            sys.modules.update(self.hidden)  # what is imported from here on is for us
            self._report()
        except Exception as error:  # in an interpreter that the program has taken apart
            self._stderr.write(f"gilknocker: error: no report: {error!r}\n")
        finally:
            sys.modules.update(own)

    def _report(self) -> None:
        # The meter is stopped by the exit handler that comes last.
        snapshot = self._meter.snapshot(waits=self._keep_waits)
        threads = self._tracer.threads() if self._tracer is not None else []
        if self._live is not None:
            PROCESS.stop(self._live, 1_000_000_000)
        flush(sys.stdout)  # where both go to one place, the report comes after what was printed
        self._stderr.write(
            text(snapshot, program=self._program, exit_status=self.exit_status, threads=threads)
        )
        run = Run(snapshot, self._program, self.exit_status, threads, self._tracer)
        for what, path, write in self._outputs:
            try:
                write(run)
            except Exception as error:
                self._stderr.write(f"gilknocker: error: no {what} in {path!r}: {error}\n")
            except KeyboardInterrupt:
                self._stderr.write(f"gilknocker: interrupted: no {what} in {path!r}\n")
                return


class Run:
    """What was measured: what outputs are made of."""

    def __init__(
        self,
        snapshot: Snapshot,
        program: list[str],
        exit_status: int,
        threads: list[ThreadTimes],
        tracer: GilTracer | None,
    ) -> None:
        self.snapshot = snapshot
        self.program = program
        self.exit_status = exit_status
        self.threads = threads
        self.tracer = tracer


def _outputs(options: RunOptions, stderr: FirstStderr) -> list[tuple[str, str, _Write]]:
    """Return what was asked for, where to, and what writes it; all imports are done.

    Raises
    ------
    UsageError
        If one cannot be written, or two are the same.
    """
    paths = {
        "--json": options.json,
        "--html": options.html,
        "--chrome-trace": options.chrome_trace,
    }
    if not any(paths.values()):
        return []
    from gilknocker.commands.output_file import output_files

    outputs: list[tuple[str, str, _Write]] = []
    targets = output_files(paths)
    if options.json is not None:
        from gilknocker.commands.report_file import content
        from gilknocker.snapshot import as_dict  # noqa: F401 (of Snapshot.to_dict)

        outputs.append(("report", options.json, _rendered(targets["--json"], content)))
    if options.html is not None:
        from gilknocker.reports.page import page

        outputs.append(("report", options.html, _rendered(targets["--html"], page)))
    if options.chrome_trace is not None:
        import numpy  # noqa: F401 (events are arrays)

        from gilknocker.meters import chrome_trace  # noqa: F401 (of GilTracer.to_chrome_trace)

        target = targets["--chrome-trace"]
        outputs.append(
            ("trace", options.chrome_trace, lambda run: _write_trace(run, target, stderr))
        )
    return outputs


def _rendered(target: Target, render: _Render) -> _Write:
    return lambda run: target.write_text(
        render(run.snapshot, run.program, run.exit_status, run.threads)
    )


def _write_trace(run: Run, target: Target, stderr: FirstStderr) -> None:
    assert run.tracer is not None
    shows = stderr.is_terminal()

    def progress(fraction: float) -> None:
        if shows:
            percent = f"{100 * fraction:.0f} %"
            stderr.write(f"{CLEAR_LINE}gilknocker: saving the trace: {percent}")

    try:
        run.tracer._write_chrome_trace(target, progress)
    finally:
        if shows:
            stderr.write(CLEAR_LINE)


def _tracer() -> GilTracer:
    from gilknocker.meters.tracer import GilTracer, GilTracerUnsupported

    try:
        return GilTracer()
    except GilTracerUnsupported as error:
        raise UsageError(f"--trace: {error}") from None
