"""When samplers must not run, whatever their owners want: after exit handlers, around a fork.

At exit
    Threads of ours that ask for the GIL while the interpreter is finalised would be ended, or
    hang, inside CPython. So an exit handler stops them all, and none is started any more.
Around ``os.fork()``
    CPython warns when a process with several threads forks. Ours alone must not cause that, so
    they end before the fork and go on in the parent afterwards; they count as running all the
    while. In the child they do not run: the C++ side knows by its own generation counter.
"""

from __future__ import annotations

import os
import sys

# The program pays for every import at its start, and these are what `threading` and `weakref` are
# made of.
from _thread import RLock, get_ident
from _weakref import ref

from gilknocker import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, type_check_only

    from gilknocker.meters.last_hook import LastHook

    @type_check_only
    class Runner(Protocol):
        """What is started and stopped: ``_core.Sampler``."""

        @property
        def is_running(self) -> bool: ...
        def start(self) -> None: ...
        def stop(self, timeout_ns: int, /) -> bool: ...


__all__ = ["PROCESS", "Lifecycle"]

# For knocks that wait for their turn; those still waiting then end by themselves, later. The fork
# has to wait for one too, so this costs it little. Of 5 ms each, among many threads, that is long.
FORK_TIMEOUT_NS = 1_000_000_000
EXIT_TIMEOUT_NS = 1_000_000_000

FORKS = hasattr(os, "register_at_fork")  # Windows does not
# There the threads are counted only after the hooks of after_in_parent: see last_hook.
WARNS_AFTER_HOOKS = FORKS and (
    (3, 13) <= sys.version_info < (3, 13, 10) or (3, 14) <= sys.version_info < (3, 14, 1)
)


class Lifecycle:
    """The runners of a process: which are to run, and do but for a fork under way.

    Thread safety: any thread may call anything, also from a signal handler: the lock is reentrant
    and each step under it leaves a valid state. Threads are waited for without the lock. A handler
    may raise as well: what happens around forks and at exit can be done again from wherever it was
    left, and is (:func:`gilknocker._core.insist`).

    Parameters
    ----------
    last_hook : LastHook, optional
        Where a fork in the main thread is over only after its hooks: what calls `resume` then.

    Attributes
    ----------
    forks : int
        How many are under way, in whatever thread; counted by :func:`gilknocker._core.at_fork`.
    lock : RLock
        Of all that is in here.
    """

    def __init__(self, last_hook: LastHook | None = None) -> None:
        self._last_hook = last_hook
        self._exited = False
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.lock = RLock()
        # By id and without callbacks: an entry of a runner that was dropped is taken out later.
        self._known: dict[int, ref[Runner]] = {}  # all that may run
        self._wanted: dict[int, ref[Runner]] = {}  # those to go on after a fork
        self.forks = 0
        self._deferred.clear()

    def start(self, runner: Runner, prepare: Callable[[], object] | None = None) -> None:
        """Start `runner`, or let it start when the fork under way is done.

        Parameters
        ----------
        runner : Runner
            What is to run.
        prepare : callable, optional
            Called before, unless a fork is under way, and no fork begins meanwhile.

        Raises
        ------
        RuntimeError
            If the exit handler has run, or a thread cannot be started.
        """
        with self.lock:
            if self._exited:
                raise RuntimeError("the interpreter is exiting: nothing can be measured any more")
            self._forget_dropped()
            # Before it starts: an interrupt may come right after that.
            self._known[id(runner)] = self._wanted[id(runner)] = ref(runner)
            if self.forks:
                return
            try:
                if prepare is not None:
                    prepare()
                runner.start()
            except BaseException:
                if not runner.is_running:
                    self._wanted.pop(id(runner), None)
                raise

    def stop(self, runner: Runner, timeout_ns: int) -> bool:
        """Stop `runner`; False if a thread of its was stuck and left alone."""
        with self.lock:
            self._wanted.pop(id(runner), None)  # a fork that ends meanwhile must not start it
        ended = runner.stop(timeout_ns)
        with self.lock:
            if not (self.forks or runner.is_running):
                self._wanted.pop(id(runner), None)  # of a start that this stop overtook
        return ended

    def is_running(self, runner: Runner) -> bool:
        """Whether `runner` runs, or will as soon as a fork is done."""
        if runner.is_running:
            return True
        if id(runner) not in self._wanted:
            return False
        with self.lock:  # it starts, or pauses, or goes on at this moment
            wanted = self._wanted.get(id(runner))
            paused = bool(self.forks or self._deferred)
            return (paused and wanted is not None and wanted() is runner) or runner.is_running

    def at_exit(self) -> None:
        """Stop all runners for good."""
        with self.lock:
            self._exited = True
            self._wanted.clear()
            runners = _alive(self._known)
        for runner in runners:
            runner.stop(EXIT_TIMEOUT_NS)
        self._known.clear()

    def before_fork(self) -> None:
        """Pause all runners. Each of another fork's too: it may not have ended yet."""
        with self.lock:
            if self._last_hook is not None:
                self._last_hook.be_last()
            runners = _alive(self._known)
        for runner in runners:
            runner.stop(FORK_TIMEOUT_NS)

    def after_fork_in_parent(self) -> None:
        """Let the paused runners go on, unless another fork is under way."""
        with self.lock:
            if self._last_hook is not None and _in_main_thread():
                self._last_hook.calls[:] = [self.resume]
            else:
                self.resume()

    def after_fork_in_child(self) -> None:
        """Know of no runner: the parent's threads are not here, and its lock may be held."""
        self._begin_anew()

    def resume(self) -> None:
        """Start what was paused, unless another fork is under way."""
        with self.lock:
            if self.forks or self._exited:
                return
            for runner in _alive(self._wanted):
                if runner.is_running:
                    continue
                try:
                    runner.start()
                except (RuntimeError, MemoryError):
                    continue  # no thread to be had: is_running says so, and the next fork tries
            self._deferred.clear()

    @property
    def _deferred(self) -> list[Callable[[], None]]:
        return [] if self._last_hook is None else self._last_hook.calls

    def _forget_dropped(self) -> None:
        for references in (self._known, self._wanted):
            for key, reference in list(references.items()):
                # A signal handler may have done so meanwhile, and put another one there.
                if reference() is None and references.get(key) is reference:
                    references.pop(key, None)


def _alive(references: dict[int, ref[Runner]]) -> list[Runner]:
    runners = (reference() for reference in list(references.values()))
    return [runner for runner in runners if runner is not None]


def _in_main_thread() -> bool:
    import threading

    return get_ident() == threading.main_thread().ident


def _process() -> Lifecycle:
    if not WARNS_AFTER_HOOKS:
        return Lifecycle()
    from gilknocker.meters.last_hook import LastHook

    return Lifecycle(LastHook())


PROCESS = _process()
_core.tell_lifecycle(PROCESS)
