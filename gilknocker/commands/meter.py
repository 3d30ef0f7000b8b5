"""What ``gilknocker run`` measures a program with, and how its report comes out at exit."""

from __future__ import annotations

import atexit
import os
import sys

from gilknocker.commands.first_stderr import FirstStderr, flush
from gilknocker.commands.options import FILES, UsageError
from gilknocker.meters.child_processes import ChildCount, cpu_ns
from gilknocker.meters.knock_knock import KnockKnock
from gilknocker.meters.lifecycle import PROCESS
from gilknocker.reports.run import Run
from gilknocker.snapshot import holders  # noqa: F401 (of Snapshot.holders)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from gilknocker.commands.live import StatusLine
    from gilknocker.commands.options import RunOptions
    from gilknocker.commands.outputs import Output
    from gilknocker.meters.tracer import GilTracer

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
    hint : str
        What to do where it is the meter that was in the program's way; set by who runs it.
    hidden : dict
        Modules that we imported and the program has its own of; set by who runs it.

    Raises
    ------
    UsageError
        If the report could not be written to one of its files, or the GIL cannot be traced.
    """

    def __init__(self, options: RunOptions) -> None:
        self.exit_status = 0
        self.hint = ""
        self.hidden: dict[str, ModuleType] = {}
        self._program = options.words
        self._pid = os.getpid()
        self._stderr = FirstStderr()
        if options.stacks:
            _need_stacks()
        self._tracer = _tracer(options) if options.trace else None
        self._meter: KnockKnock | GilTracer = self._tracer or KnockKnock(
            interval_micros=options.interval_micros, stacks=options.stacks
        )
        if options.stalls is not None:
            _need_looks()
        self._stalls = options.stalls
        self._keep_waits = options.html is not None
        # All imports come before the program: later there may be a json.py in its folder, or no
        # file to be had any more.
        self._outputs: list[Output] = []
        if any(getattr(options, name) for name in FILES):
            from gilknocker.commands.outputs import outputs

            self._outputs = outputs(options, self._stderr)
        self._children = ChildCount()
        self._children_cpu_ns = cpu_ns()
        self._live: StatusLine | None = None
        if options.live and self._stderr.file is not None and self._stderr.is_terminal():
            from gilknocker.commands.live import StatusLine

            self._live = StatusLine(self._meter.snapshot, self._stderr.file)

    def begin(self) -> None:
        """Start measuring; called before the program, so that its exit handlers come first."""
        atexit.register(self._end)
        if self._live is not None:
            PROCESS.start(self._live)
        if self._stalls is not None and self._stderr.file is not None:
            from gilknocker.meters.stall_watch import watch_stalls

            try:  # noqa: SIM105 (contextlib takes long to import)
                watch_stalls(self._stalls, self._stderr.file.fd)
            except ValueError:  # a stderr that is for reading only: it gets no report, either
                pass
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
        # A knocker is stopped by the exit handler that comes last; of a tracer two things are
        # read, which are of one instant if it is stopped before.
        if self._tracer is not None:
            self._tracer.stop()
        snapshot = self._meter.snapshot(waits=self._keep_waits)
        threads = self._tracer.threads() if self._tracer is not None else []
        if self._live is not None:
            PROCESS.stop(self._live, 1_000_000_000)
        flush(sys.stdout)  # where both go to one place, the report comes after what was printed
        run = Run(
            snapshot,
            self._program,
            self.exit_status,
            threads=threads,
            children_cpu_ns=max(cpu_ns() - self._children_cpu_ns, 0),
            children=self._children.started,
            tracer=self._tracer,
        )
        self._stderr.write(run.text())
        if self.hint:
            self._stderr.write(f"gilknocker: {self.hint}\n")
        for output in self._outputs:
            if not output.save(run, self._stderr):
                return


def _need_looks() -> None:
    from gilknocker import _core
    from gilknocker.meters import stall_watch  # noqa: F401 (before the program's modules)

    problem = _core.look_problem()
    if problem is not None:
        raise UsageError(f"--stalls: {problem}")


def _need_stacks() -> None:
    from gilknocker import _core
    from gilknocker.reports import line_reasons, stack_lines  # noqa: F401 (of the report's lines)
    from gilknocker.snapshot import stacks  # noqa: F401 (of Snapshot.stacks)

    problem = _core.stack_problem()
    if problem is not None:
        raise UsageError(f"--stacks: {problem}")


def _tracer(options: RunOptions) -> GilTracer:
    from gilknocker.meters.tracer import GilTracer, GilTracerUnsupported

    try:
        return GilTracer(stacks=options.stacks, interval_micros=options.interval_micros)
    except GilTracerUnsupported as error:
        raise UsageError(f"--trace: {error}") from None
