"""For tests: does a function release the GIL, and loads that hold it for a known time.

The loads are there to see what a measurement makes of them. Their durations are kept by
``CLOCK_MONOTONIC``. A thread that the operating system sets aside while it holds the GIL still
holds it, so a hold may well be longer than was asked for: compare with what :class:`GilLoad` says
it did, not with what it was told.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from warnings import warn

from gilknocker import _load
from gilknocker._checks import checked_index, checked_real, shown
from gilknocker._durations import parse_duration
from gilknocker._units import format_ns, format_percent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeVar

    from typing_extensions import Self

    from gilknocker.integrations.pytest.meter import Reading

    _T = TypeVar("_T")

__all__ = ["GilLoad", "assert_releases_gil", "hold_gil", "release_gil"]

_MAX_SECONDS = 1e6
_LOOK_MICROS = 200  # a call under test may be short


def assert_releases_gil(callable: Callable[[], _T], *, max_hold: str = "5 ms") -> _T:
    """Call a function, and fail if it keeps the GIL for too long at a stretch.

    One in C that is busy for a while should release the GIL meanwhile. Python code gives it up by
    itself, but only ``sys.getswitchinterval()`` (5 ms) after another thread has asked: it is no
    subject for the default.

    Parameters
    ----------
    callable : callable
        Called once, in this thread, without arguments. A call that does not take longer than
        `max_hold` cannot fail: give it enough to do.
    max_hold : str, default "5 ms"
        The longest hold allowed: a number and a unit (ns, µs or us, ms, s). Below 1 ms a sampler,
        which is what measures where there is no tracer, may not notice.

    Returns
    -------
    object
        What the call returned. What it raises is not caught.

    Raises
    ------
    AssertionError
        If some thread, not only this one, held the GIL for longer than `max_hold` during the call.
    TypeError, ValueError
        If `callable` or `max_hold` is something else.

    Warns
    -----
    RuntimeWarning
        If that may be so, or not: where there is no tracer, a long wait for the GIL can be one hold
        or many.

    Examples
    --------
    >>> import zlib
    >>> data = bytes(10_000_000)
    >>> packed = assert_releases_gil(lambda: zlib.compress(data))  # doctest: +SKIP
    """
    __tracebackhide__ = True  # for pytest: the caller's line is what to look at
    if not hasattr(callable, "__call__"):  # noqa: B004 (that name is taken)
        raise TypeError(f"callable must be callable without arguments, not {shown(callable)}")
    limit_ns = parse_duration("max_hold", max_hold)
    from gilknocker.integrations.pytest.limits import UNTOLD, knock_interval_for
    from gilknocker.integrations.pytest.meter import Meter

    meter = Meter("auto", _LOOK_MICROS, knock_interval_for(limit_ns), holds_ns=limit_ns)
    try:
        meter.begin()
        result = callable()
        reading = meter.end()
    finally:
        meter.stop()
    if reading.times.gil_enabled is False:
        return result
    if reading.is_kept_from_us(limit_ns):
        raise AssertionError(_kept_for_too_long(callable, reading, limit_ns))
    if reading.may_be_kept_from_us(limit_ns):
        waited = format_ns(reading.longest_wait_ns, 3)
        warn(f"{_name(callable)}: {UNTOLD.format(waited)}", RuntimeWarning, stacklevel=2)
    return result


def _name(callable: Callable[[], object]) -> str:
    return getattr(callable, "__qualname__", None) or shown(callable)


def _file_of(callable: Callable[[], object]) -> str:
    """Return where it is written, as its frames have it; "" if it is no function of Python."""
    return str(getattr(getattr(callable, "__code__", None), "co_filename", ""))


def _kept_for_too_long(callable: Callable[[], object], reading: Reading, limit_ns: int) -> str:
    from gilknocker.integrations.pytest.limits import TOO_BUSY, hold_lines

    about = "about " if reading.traced is None else ""
    hold = reading.hold_kept_from_us(limit_ns)
    longest = reading.longest_hold_ns if hold is None else hold.end_ns - hold.start_ns
    fraction = reading.times.held_fraction
    lines = [
        f"{_name(callable)} kept the GIL for {about}{format_ns(longest, 3)} without a "
        f"release; max_hold is {format_ns(limit_ns)}",
        f"the call took {format_ns(reading.times.observed_ns, 3)}; for "
        + (
            "an unknown share"
            if fraction is None or fraction != fraction
            else f"{format_percent(1 - fraction)} %"
        )
        + " of that another thread could have run",
        *hold_lines(reading, hold, _file_of(callable)),
    ]
    if reading.untimely > TOO_BUSY:
        lines.append("but the machine was very busy: that may be why")
    return "\n  ".join(lines)


def hold_gil(seconds: float, *, sleep: bool = False) -> None:
    """Keep the GIL, without ever letting go of it.

    No other Python thread runs meanwhile, and Ctrl-C waits.

    Parameters
    ----------
    seconds : float
        How long: 0 to 1e6.
    sleep : bool, default False
        Sleep while holding the GIL, rather than keep a CPU busy.

    Raises
    ------
    TypeError
        If `seconds` is not a real number.
    ValueError
        If `seconds` is out of range, or NaN.

    See Also
    --------
    release_gil : the same time without the GIL.
    """
    _load.hold_gil(_checked_seconds("seconds", seconds), sleep=bool(sleep))


def release_gil(seconds: float, *, sleep: bool = False) -> None:
    """Be busy without the GIL, as a good C extension is.

    Parameters
    ----------
    seconds : float
        How long: 0 to 1e6. Getting the GIL back comes on top.
    sleep : bool, default False
        Sleep rather than keep a CPU busy.

    Raises
    ------
    TypeError
        If `seconds` is not a real number.
    ValueError
        If `seconds` is out of range, or NaN.

    See Also
    --------
    hold_gil : the same time with the GIL.
    """
    _load.release_gil(_checked_seconds("seconds", seconds), sleep=bool(sleep))


class GilLoad:
    """Threads that hold the GIL and free it in turns, for as long as the ``with`` block runs.

    Every thread holds the GIL at least once. Leaving ends them; then the attributes below can be
    read. A load can be entered again, one block after the other: its account starts anew.

    Parameters
    ----------
    hold_seconds, free_seconds : float
        How long a thread holds the GIL, then is without it: 0 to 1e6. A thread must get the GIL
        back before it holds it again, which takes longer where others want it too.
    sleep : bool, default False
        Sleep for both times rather than keep a CPU busy; short times then come out longer, by
        what the operating system needs to wake a thread.
    random : bool, default False
        Draw every time from an exponential distribution with the mean that was given.
    threads : int, default 1
        How many threads do this. They hold the GIL in turns.
    seed : int, default 0
        The n-th thread draws from ``seed + n``; only the low 64 bits count.

    Raises
    ------
    TypeError
        If an argument is not a number of its kind.
    ValueError
        If an argument is out of range, or NaN.

    Examples
    --------
    >>> import time
    >>> with GilLoad(0.002, 0.002) as load:
    ...     time.sleep(0.1)
    >>> 0.0 < load.duty_cycle < 1.0
    True
    """

    def __init__(
        self,
        hold_seconds: float,
        free_seconds: float,
        *,
        sleep: bool = False,
        random: bool = False,
        threads: int = 1,
        seed: int = 0,
    ) -> None:
        self._hold_ns = round(_checked_seconds("hold_seconds", hold_seconds) * 1e9)
        self._free_ns = round(_checked_seconds("free_seconds", free_seconds) * 1e9)
        self._sleep = bool(sleep)
        self._random = bool(random)
        self._threads = checked_index("threads", threads, "an integer of at least 1", least=1)
        self._seed = checked_index("seed", seed, "an integer")
        self._running: _Run | None = None
        self._account: _Account | None = None

    def __enter__(self) -> Self:
        if self._running is not None:
            raise RuntimeError("this GilLoad is already running: it can be entered once at a time")
        self._account = None
        load = _load.Load(self._hold_ns, self._free_ns, sleep=self._sleep, random=self._random)
        self._running = _Run(load, [self._seed + n for n in range(self._threads)])
        try:
            self._running.start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._account = self._end()

    @property
    def start_ns(self) -> int:
        """When the first thread began, by CLOCK_MONOTONIC."""
        return self._finished().start_ns

    @property
    def end_ns(self) -> int:
        """When the last thread ended, by CLOCK_MONOTONIC."""
        return self._finished().end_ns

    @property
    def held_seconds(self) -> float:
        """How long the threads held the GIL, from having it to about to release it."""
        return self._finished().held_ns / 1e9

    @property
    def elapsed_seconds(self) -> float:
        """How long the threads ran: from `start_ns` to `end_ns`."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def duty_cycle(self) -> float:
        """The share of the elapsed time that the threads held the GIL."""
        return self._finished().held_ns / (self.end_ns - self.start_ns)

    @property
    def cycles(self) -> int:
        """How many holds the threads made together."""
        return self._finished().cycles

    def _finished(self) -> _Account:
        if self._account is None:
            raise RuntimeError("this GilLoad has not finished: leave its with block first")
        return self._account

    def _end(self) -> _Account | None:
        run, self._running = self._running, None
        return None if run is None else run.end()


@dataclass(frozen=True)
class _Account:
    start_ns: int
    end_ns: int
    held_ns: int
    cycles: int


class _Run:
    """The threads of one ``with`` block."""

    def __init__(self, load: _load.Load, seeds: list[int]) -> None:
        self._load = load
        self._runs: list[tuple[int, int, int, int]] = []  # appended to by each thread, once
        self._ready = threading.Semaphore(0)
        self._go = threading.Event()
        self._begin = False  # what _go tells: to begin, or that a thread could not be started
        # Daemons: a load that nobody leaves must not keep the interpreter from exiting.
        self._threads = [
            threading.Thread(target=self._work, args=(seed,), name="GilLoad", daemon=True)
            for seed in seeds
        ]

    def start(self) -> None:
        """Let the threads begin all at once, so that starting threads is no part of the load."""
        try:
            for thread in self._threads:
                thread.start()
            for _ in self._threads:
                self._ready.acquire()
            self._begin = True
        finally:
            self._go.set()

    def end(self) -> _Account | None:
        """Wait for the threads to finish, and return what they did unless they never began."""
        self._load.stop()
        for thread in self._threads:
            if thread.ident is not None:  # not so if starting them failed half-way
                thread.join()
        if len(self._runs) != len(self._threads):
            return None
        started, ended, held, cycles = zip(*self._runs, strict=True)
        return _Account(min(started), max(ended), sum(held), sum(cycles))

    def _work(self, seed: int) -> None:
        self._ready.release()
        self._go.wait()
        if self._begin:
            self._runs.append(self._load.run(seed=seed & (2**64 - 1)))


def _checked_seconds(name: str, value: float) -> float:
    allowed = f"a real number of seconds from 0 to {_MAX_SECONDS:g}"
    seconds = checked_real(name, value, allowed)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ValueError(f"{name} must be {allowed}, not {shown(value)}")
    return seconds
