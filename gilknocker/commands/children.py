"""``gilknocker run --children``: a program and all that it starts, watched by their parent.

The program is started as it would be without us, in the place that a shell gave us: its parent is
this process, its group and terminal are ours. Signals are passed on to it, and we end as it did.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

from gilknocker.commands.first_stderr import FirstStderr
from gilknocker.commands.options import UsageError
from gilknocker.commands.outputs import outputs
from gilknocker.meters.outside.family import PERIOD_SECONDS, Family
from gilknocker.reports.processes import MeasuredProcess
from gilknocker.reports.run import Run
from gilknocker.snapshot.value import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from gilknocker.commands.options import RunOptions
    from gilknocker.commands.outputs import Output

__all__ = ["run_family"]

# Those of the terminal reach the whole group, and so the program, without us.
_PASSED_ON = {
    number
    for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "WINCH")
    if (number := getattr(signal, f"SIG{name}", None)) is not None
}
_SI_KERNEL = 0x80  # siginfo's si_code: <asm-generic/siginfo.h>


def run_family(options: RunOptions) -> NoReturn:
    """Run a program and watch it and its children; end as it does.

    Raises
    ------
    UsageError
        If that cannot be done here, or the report cannot be written. Nothing has run then.
    """
    stderr = FirstStderr()
    files = outputs(options, stderr)
    # As we were called ourselves.
    command = [sys.orig_argv[0], *_python_options(), *_end_of_options(options), *options.words]
    signals = {*_PASSED_ON, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # what is ignored is not waited for, either
    try:
        pid = os.posix_spawn(sys.executable, command, os.environ, setsigmask=before)
    except OSError as error:
        raise UsageError(f"cannot run {sys.executable!r}: {error.strerror}") from None
    family = Family(pid, options.interval_micros or 1000)
    status = _watch(family, pid, signals)
    family.end()
    for member in family.members:
        if member.pid == pid and not member.replaced:  # our child: it is known in any case
            member.exit_status, member.runs_on = status, False
    _report(family, options, status, files, stderr)
    _end_as(status, before)


def _python_options() -> list[str]:
    """Return Python's own options on our command line, which are meant for the program."""
    words = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
    module = words.pop() if words else ""
    if module.startswith("-"):  # -mgilknocker, perhaps with others before the m
        option = module.removesuffix("mgilknocker")
    elif words and words[-1].startswith("-") and words[-1].endswith("m"):
        option = words.pop().removesuffix("m")
    else:  # the console script
        option = "-"
    return words if option == "-" else [*words, option]


def _end_of_options(options: RunOptions) -> list[str]:
    """Return what keeps Python from taking the name of a script for an option."""
    return ["--"] if options.kind == "script" and options.target.startswith("-") else []


def _watch(family: Family, pid: int, signals: set[int]) -> int:
    """Watch until the program ends, and pass signals on; return its exit status."""
    problem = ""
    while True:
        try:
            if not problem:
                family.look()
        except Exception as error:  # whatever it is: the program goes on, and we with it
            problem = repr(error)
            family.problem = problem
        told = signal.sigtimedwait(signals, PERIOD_SECONDS)
        if told is None:
            continue
        if told.si_signo != signal.SIGCHLD:
            if told.si_code != _SI_KERNEL:
                os.kill(pid, told.si_signo)
            continue
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)


def _rows(family: Family) -> list[MeasuredProcess]:
    return [
        MeasuredProcess(
            pid=one.pid,
            ppid=one.ppid,
            command=one.command,
            forked=one.forked,
            replaced=one.replaced,
            runs_on=one.runs_on,
            exit_status=one.exit_status,
            cpu_ns=one.cpu_ns,
            waited_ns=one.waited_ns,
            problem=one.problem,
            snapshot=one.snapshot,
        )
        for one in family.members
    ]


def _report(
    family: Family,
    options: RunOptions,
    status: int,
    files: list[Output],
    stderr: FirstStderr,
) -> None:
    processes = _rows(family)
    if family.problem:
        stderr.write(f"gilknocker: error: not watched to the end: {family.problem}\n")
    snapshots = [one.snapshot for one in processes if one.snapshot is not None]
    if not snapshots:
        reasons = "; ".join(sorted({one.problem for one in processes})) or "it ended too early"
        stderr.write(f"gilknocker: error: no report: nothing could be measured: {reasons}\n")
        return
    run = Run(Snapshot.merge(snapshots), options.words, status, processes=processes)
    stderr.write(run.text())
    for file in files:
        if not file.save(run, stderr):
            return


def _end_as(status: int, mask: set[int]) -> NoReturn:
    if status >= 0:
        raise SystemExit(status)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the core is the program's
    if -status not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-status, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask - {-status})
    signal.raise_signal(-status)
    os._exit(128 - status)
