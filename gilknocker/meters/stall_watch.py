"""Who holds the GIL for too long, told while it is still held."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from gilknocker import _core
from gilknocker._checks import shown
from gilknocker._durations import parse_duration
from gilknocker._units import format_ns
from gilknocker.meters.bare_thread import BareThread, tell_excepthook
from gilknocker.meters.known_threads import known_threads
from gilknocker.meters.lifecycle import FORKS, PROCESS
from gilknocker.meters.stalls import Stall
from gilknocker.meters.thread_names import ThreadNames

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import IO, Any, Literal, NoReturn

    from typing_extensions import Self

__all__ = ["StallWatch", "StallsUnsupported", "checked_tolerance", "silent_watch", "watch_stalls"]

LEAST_NS = 10_000_000  # twice the switch interval, in which pure Python gives way
MOST_NS = 3_600_000_000_000
FORMATS = ("text", "json")
# Looks in the time that is tolerated, and knocks: who does not give way to one of these stalls.
LOOKS = 20
KNOCKS = 4
MOST_BETWEEN_LOOKS_NS = 5_000_000  # what is told is told so much too late, twice at most
LEAST_BETWEEN_LOOKS_NS = 1_000_000
CONTENDED_AFTER_NS = 1_000_000  # as knocks are judged; nobody asks here
STOP_TIMEOUT_NS = 1_000_000_000
_NOWHERE: Any = object()  # in the place of a file: what is found is only kept


class StallsUnsupported(RuntimeError):
    """Stalls cannot be watched for in this Python, or on this system; the message says why."""


def watch_stalls(
    longer_than: str = "200 ms",
    file: IO[str] | IO[bytes] | int | None = None,
    callback: Callable[[Stall], object] | None = None,
    *,
    format: Literal["text", "json"] = "text",
) -> StallWatch:
    """Tell who keeps the GIL from all others for too long, while it does.

    A thread of ours, which needs no GIL, looks at it again and again. Where one thread has held it
    for so long, though somebody asked for it, it writes one block at once: since when, which
    thread, its Python stack (function, file and line), who waits; again when that has lasted 1, 2,
    4, … seconds, and a line when it is over. Pure Python gives way within 5 ms of being asked
    (``sys.getswitchinterval()``), so that it is native code that stalls, or what keeps the GIL
    while it waits: a deadlock is told of, too.

    The watch goes on until `StallWatch.stop` or the end of a ``with`` block, whether the returned
    object is kept or not, else until the interpreter exits. A forked child has a watch of its own.

    Parameters
    ----------
    longer_than : str, default "200 ms"
        What is tolerated: a duration with its unit, from 10 ms to 3600 s.
    file : file object, int or None, default None
        Where to: its descriptor, or that number. None is that of ``sys.stderr``. What is written
        at a time is at most 4,096 bytes, whole or not at all, and never waits: of a pipe that
        nobody reads the rest is lost. Nothing is written to another file that gets its number.
    callback : callable, optional
        Called with a `Stall` for each that is over, of the newest 64 at that time; by a thread of
        ours, one after another. What it raises goes to ``threading.excepthook``.
    format : {"text", "json"}, default "text"
        What is written: blocks to read, or lines of JSON (docs/stalls.md).

    Returns
    -------
    StallWatch

    Raises
    ------
    StallsUnsupported
        If the GIL cannot be looked at here. Where only stacks cannot be read, nothing is said of
        them. It is a RuntimeError.
    TypeError
        If an argument has the wrong type.
    ValueError
        If `longer_than` is no duration, or out of range; there is no such format; a file object is
        closed; `file` is open for reading only: a file, a pipe's reading end, a directory.
    OSError
        If a descriptor is closed.
    RuntimeError
        If no thread can be started, or the interpreter is exiting.

    Notes
    -----
    Of stalls that follow each other ten a minute are written, and then how many were not.

    Examples
    --------
    >>> watch = watch_stalls("500 ms")
    >>> watch.is_running
    True
    >>> watch.stop()
    """
    return StallWatch(longer_than, file, callback, format=format)


def silent_watch(longer_than: str) -> StallWatch:
    """Return a watch that writes nothing, for who reads its stalls; a forked child has none."""
    return StallWatch(longer_than, _NOWHERE, None, format="text")


class StallWatch:
    """What :func:`watch_stalls` returns; made by that alone."""

    def __init__(
        self,
        longer_than: str,
        file: IO[str] | IO[bytes] | int | None,
        callback: Callable[[Stall], object] | None,
        *,
        format: str,
    ) -> None:
        self._longer_than_ns = checked_tolerance("longer_than", longer_than)
        if format not in FORMATS:
            raise ValueError(f"format must be 'text' or 'json', not {shown(format)}")
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable or None, not {shown(callback)}")
        problem = _core.look_problem()
        if problem is not None:
            raise StallsUnsupported(f"stalls cannot be watched for here: {problem}")
        interval_ns = self._longer_than_ns // LOOKS
        self._is_silent = file is _NOWHERE
        self._file = file  # so that nobody closes it by dropping it
        self._sampler = _core.Sampler(
            max(LEAST_BETWEEN_LOOKS_NS, min(interval_ns, MOST_BETWEEN_LOOKS_NS)),
            self._longer_than_ns // KNOCKS,
            knocks_per_burst=0,
            burst_rest_ns=0,
            late_after_ns=interval_ns,
            contended_after_ns=CONTENDED_AFTER_NS,
            log_capacity=0,
            stall_ns=self._longer_than_ns,
            stall_descriptor=_descriptor(file),
            stall_json=format == "json",
        )
        self._callback = callback
        self._caller = _Caller(self._sampler, callback) if callback is not None else None
        _WATCHES.add(self)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        _NAMES.begin()
        if _core.note_collection not in gc.callbacks:
            gc.callbacks.append(_core.note_collection)
        PROCESS.start(self._sampler)
        if self._caller is not None:
            PROCESS.start(self._caller)

    def _start_in_child(self) -> None:
        if self._is_silent:
            _WATCHES.discard(self)
            return
        if self._callback is not None:
            self._caller = _Caller(self._sampler, self._callback)
        try:
            self._start()
        except (RuntimeError, MemoryError):  # no thread to be had: is_running says so
            return

    def stop(self) -> None:
        """Stop watching; what is known of a stall by then is told before. Nothing if it has."""
        PROCESS.stop(self._sampler, STOP_TIMEOUT_NS)
        if self._caller is not None:
            PROCESS.stop(self._caller, STOP_TIMEOUT_NS)
        _WATCHES.discard(self)
        _NAMES.rest()
        if not _WATCHES and _core.note_collection in gc.callbacks:
            gc.callbacks.remove(_core.note_collection)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def is_running(self) -> bool:
        """Whether it watches."""
        return PROCESS.is_running(self._sampler)

    @property
    def longer_than_ns(self) -> int:
        """What is tolerated, ns."""
        return self._longer_than_ns

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """Those that are over, the oldest first: the newest 64, of this process."""
        return self.stalls_after(0)

    def stalls_after(self, number: int) -> tuple[Stall, ...]:
        """Return those of `stalls` with a higher number, for who has the others already."""
        return tuple(Stall._from_json(line) for line in self._sampler.finished_stalls(number))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a StallWatch cannot be copied or pickled; its stalls can")

    def __repr__(self) -> str:
        state = "running" if self.is_running else "stopped"
        return f"<StallWatch for longer than {format_ns(self._longer_than_ns)}, {state}>"


class _Names(ThreadNames):
    """Lets the watches know what threads are called, while there are any."""

    def begin(self) -> None:
        """Tell them of the threads that are there, and of those that begin from now on."""
        for ident, native_id, name in known_threads():
            if name and ident:
                _core.name_thread(ident, native_id, name)
        self.listen()

    def _keep(self, name: str) -> None:
        _core.name_thread(_core.thread_ident(), _core.native_id(), name)


class _Caller:
    """A thread that calls back; a runner of :data:`gilknocker.meters.lifecycle.PROCESS`.

    As the status line's it is a bare thread, unknown to :mod:`threading`.
    """

    def __init__(self, sampler: _core.Sampler, callback: Callable[[Stall], object]) -> None:
        self._sampler = sampler
        self._callback = callback
        self._thread = BareThread()
        self._ident = 0  # of the thread
        self._after = 0  # the number of the newest that was called for

    @property
    def is_running(self) -> bool:
        return self._thread.is_running

    def start(self) -> None:
        if not self._thread.is_running:
            self._sampler.interrupt_stalls(False)
            self._thread.start(self._work)

    def stop(self, timeout_ns: int, /) -> bool:
        self._sampler.interrupt_stalls(True)
        if self._ident == _core.thread_ident():
            return True  # from within the callback: it ends after that
        return self._thread.wait(timeout_ns)

    def _work(self) -> None:
        self._ident = _core.thread_ident()
        try:
            while self._sampler.wait_for_stall(self._after):
                self._call()
            self._call()  # for those of the last moment
        finally:
            self._ident = 0

    def _call(self) -> None:
        for line in self._sampler.finished_stalls(self._after):
            stall = Stall._from_json(line)
            self._after = stall.number
            try:
                self._callback(stall)
            except BaseException as error:
                tell_excepthook(error)


def checked_tolerance(name: str, value: str) -> int:
    """Return what is tolerated in ns, or raise TypeError or ValueError."""
    ns = parse_duration(name, value)
    if not LEAST_NS <= ns <= MOST_NS:
        raise ValueError(f"{name} must be from 10 ms to 3600 s, not {shown(value)}")
    return ns


def _descriptor(file: IO[str] | IO[bytes] | int | None) -> int:
    """Return where to write; -1 for nowhere."""
    if file is _NOWHERE:
        return -1
    if isinstance(file, int):
        if isinstance(file, bool) or not 0 <= file < 2**31:
            raise ValueError(f"file must be a descriptor, 0 or more, not {shown(file)}")
        os.fstat(file)
        _check_is_for_writing(file)
        return file
    if file is None:
        try:
            return sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # none, or closed, or one that has none
            return 2
    allowed = "a file object with a descriptor, its descriptor or None"
    try:
        descriptor = file.fileno()
    except AttributeError:
        raise TypeError(f"file must be {allowed}, not {shown(file)}") from None
    except (OSError, ValueError) as error:  # it has none, or is closed
        raise ValueError(f"file must be {allowed}, not {shown(file)}: {error}") from None
    if type(descriptor) is not int:
        raise TypeError(f"file must be {allowed}, not {shown(file)}")
    _check_is_for_writing(descriptor)
    return descriptor


def _check_is_for_writing(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: nobody says it there
        return
    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise ValueError(f"file must be open for writing, and descriptor {descriptor} is not")


_WATCHES: set[StallWatch] = set()  # those that run, or are to
_NAMES = _Names(_WATCHES)


def _after_fork_in_child() -> None:
    if not _WATCHES:
        return
    _core.forget_names()
    for watch in tuple(_WATCHES):
        watch._start_in_child()


if FORKS:
    # After that of the lifecycle, which is imported above.
    os.register_at_fork(after_in_child=partial(_core.insist, _after_fork_in_child))
