"""What was measured of a program: what each report of it is made of."""

from __future__ import annotations

from gilknocker.reports import words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilknocker.meters.tracer import GilTracer
    from gilknocker.reports.processes import MeasuredProcess
    from gilknocker.snapshot.thread_times import ThreadTimes
    from gilknocker.snapshot.value import Snapshot

__all__ = ["Run"]


class Run:
    """What was measured, and of what.

    Parameters
    ----------
    snapshot : Snapshot
        What was measured; with raw waits a page has a timeline of them.
    program : sequence of str, optional
        The words of the command.
    exit_status : int or None
        How it ended; None of a process that runs on.
    threads : sequence of ThreadTimes, optional
        What each thread did, of a trace; a page has a table of `Snapshot.holders` else.
    children_cpu_ns : int, default 0
        The CPU time of child processes, ns.
    children : int, default 0
        How many child processes there were at least, as far as known.
    processes : sequence of MeasuredProcess, optional
        Those that `snapshot` is of, taken together.
    tracer : GilTracer, optional
        Of a trace, as long as its process lives.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        program: Sequence[str] = (),
        exit_status: int | None = None,
        *,
        threads: Sequence[ThreadTimes] = (),
        children_cpu_ns: int = 0,
        children: int = 0,
        processes: Sequence[MeasuredProcess] = (),
        tracer: GilTracer | None = None,
    ) -> None:
        self.snapshot = snapshot
        self.program = program
        self.exit_status = exit_status
        self.threads = threads
        self.children_cpu_ns = children_cpu_ns
        self.children = children
        self.processes = processes
        self.tracer = tracer

    def text(self) -> str:
        """Return the report as text, ending in a newline: ASCII unless `program` is not."""
        return words.text(
            self.snapshot,
            program=self.program,
            exit_status=self.exit_status,
            threads=self.threads,
            children_cpu_ns=self.children_cpu_ns,
            processes=self.processes,
            children=self.children,
        )
