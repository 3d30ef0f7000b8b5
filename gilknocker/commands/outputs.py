"""The files that a run writes at exit: a report as JSON or as a page, a trace."""

from __future__ import annotations

import os

from gilknocker.commands.first_stderr import CLEAR_LINE
from gilknocker.commands.output_file import output_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol, TypeAlias

    from gilknocker._files import Target
    from gilknocker.commands.first_stderr import FirstStderr
    from gilknocker.reports.run import Run
    from gilknocker.snapshot.value import Snapshot

    _Write: TypeAlias = Callable[[Run, Target], None]

    class _Options(Protocol):
        """Of `run` and `record`: what to write, and whether there is a trace to write of."""

        json: str | None
        html: str | None
        chrome_trace: str | None
        flame: str | None
        speedscope: str | None
        collapsed: str | None
        trace: bool


__all__ = ["Output", "outputs"]


class Output:
    """One file that was asked for.

    Parameters
    ----------
    what : str
        What it is, for messages.
    path : str
        The file as it was given.
    target : Target
        Where that is.
    write : callable
        Writes a `Run` there.
    """

    def __init__(self, what: str, path: str, target: Target, write: _Write) -> None:
        self._what, self._path, self._target, self._write = what, path, target, write

    def save(self, run: Run, stderr: FirstStderr) -> bool:
        """Write it, and say so where that fails; False if the user interrupted it.

        Where another process has written the file since the start, it stays, and this one goes
        beside it: a reloader runs the whole command once more in a child, and what that measured
        is what was asked for.
        """
        try:
            self.write(run, stderr)
        except Exception as error:
            stderr.write(f"gilknocker: error: {self.missing}: {error}\n")
        except KeyboardInterrupt:
            stderr.write(f"gilknocker: interrupted: {self.missing}\n")
            return False
        return True

    @property
    def missing(self) -> str:
        """What is not there where it could not be written."""
        return f"no {self._what} in {self._path!r}"

    def write(self, run: Run, stderr: FirstStderr) -> None:
        """Write it, as `save` does, and raise what goes wrong."""
        target = self._target
        if target.was_written:
            target = target.beside(str(os.getpid()))
            stderr.write(
                f"gilknocker: another process has written {self._path!r} meanwhile, as the "
                f"child of a reloader does: this {self._what} is in {target.path!r}\n"
            )
        self._write(run, target)


def outputs(options: _Options, stderr: FirstStderr) -> list[Output]:
    """Return what was asked for; all that it needs is imported.

    Raises
    ------
    UsageError
        If one cannot be written, or two are the same.
    """
    targets = output_files(
        {
            "--json": options.json,
            "--html": options.html,
            "--chrome-trace": options.chrome_trace,
            "--flame": options.flame,
            "--speedscope": options.speedscope,
            "--collapsed": options.collapsed,
        }
    )
    found: list[Output] = []
    if options.json is not None:
        from gilknocker.commands.report_file import content
        from gilknocker.snapshot import as_dict  # noqa: F401 (of Snapshot.to_dict)

        found.append(Output("report", options.json, targets["--json"], _rendered(content)))
    if options.html is not None:
        from gilknocker.reports.page import page

        found.append(Output("report", options.html, targets["--html"], _rendered(page)))
        if options.trace:
            import numpy  # noqa: F401 (single events are arrays)
    if options.chrome_trace is not None:
        from gilknocker.meters import chrome_trace  # noqa: F401 (of GilTracer.to_chrome_trace)

        path, target = options.chrome_trace, targets["--chrome-trace"]
        found.append(Output("trace", path, target, _trace_shown(stderr)))
    return found + _of_stacks(options, targets)


def _of_stacks(options: _Options, targets: dict[str, Target]) -> list[Output]:
    found: list[Output] = []
    if options.flame is not None:
        from gilknocker.reports.flame import flame

        found.append(Output("flame graph", options.flame, targets["--flame"], _drawn(flame)))
    if options.speedscope is not None:
        from gilknocker.reports.stack_files import speedscope

        path, target = options.speedscope, targets["--speedscope"]
        found.append(Output("profile", path, target, _drawn(speedscope)))
    if options.collapsed is not None:
        from gilknocker.reports.stack_files import collapsed

        path, target = options.collapsed, targets["--collapsed"]
        found.append(Output("stacks", path, target, _drawn(lambda one, _: collapsed(one))))
    return found


def _drawn(draw: Callable[[Snapshot, Sequence[str]], str]) -> _Write:
    return lambda run, target: target.write_text(draw(run.snapshot, run.program))


def _rendered(render: Callable[[Run], str]) -> _Write:
    return lambda run, target: target.write_text(render(run))


def _trace_shown(stderr: FirstStderr) -> _Write:
    """Return what writes a trace, and shows on a terminal how far it is."""

    def write(run: Run, target: Target) -> None:
        assert run.tracer is not None
        if not stderr.is_terminal():
            run.tracer._write_chrome_trace(target, lambda fraction: None)
            return
        try:
            run.tracer._write_chrome_trace(target, progress)
        finally:
            stderr.write(CLEAR_LINE)

    def progress(fraction: float) -> None:
        stderr.write(f"{CLEAR_LINE}gilknocker: saving the trace: {100 * fraction:.0f} %")

    return write
