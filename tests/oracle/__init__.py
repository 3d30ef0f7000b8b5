"""The exact truth about the GIL, for tests; how it is come by stands in ``oracle.c``.

>>> with Oracle() as oracle:                                            # doctest: +SKIP
...     oracle.mark()
...     something()
...     oracle.read().held_fraction
"""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from array import array
from dataclasses import dataclass
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple, Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self

__all__ = ["FREE", "HELD_BY_OTHER", "HELD_BY_OURS", "Oracle", "Reading", "Transitions"]

# The states of the GIL, as in oracle.c. Ours: the holding thread's name starts with "gilknock".
FREE, HELD_BY_OTHER, HELD_BY_OURS = range(3)


@dataclass(frozen=True)
class Reading:
    """What the oracle saw in a window of time. Holds count in the window in which they end."""

    start_ns: int
    end_ns: int
    held_ns: int
    holds: int
    own_held_ns: int
    own_holds: int
    own_longest_ns: int

    @property
    def observed_seconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def held_seconds(self) -> float:
        """How long threads that are not ours held the GIL; the reader's own hold included."""
        return self.held_ns / 1e9

    @property
    def held_fraction(self) -> float:
        return self.held_ns / (self.end_ns - self.start_ns)

    @property
    def own_held_seconds(self) -> float:
        return self.own_held_ns / 1e9

    @property
    def own_longest_seconds(self) -> float:
        return self.own_longest_ns / 1e9


@dataclass(frozen=True)
class Transitions:
    """The newest changes of the GIL's state: from ``times[i]`` (ns) on it was ``states[i]``."""

    times: array[int]
    states: array[int]
    end_ns: int  # the last state is known to have lasted until then
    dropped: int  # older changes, no longer in the log

    def spent_ns(self, state: int, start_ns: int, end_ns: int) -> int:
        """Return how much of the time from `start_ns` to `end_ns` the GIL was in `state`.

        Raises
        ------
        ValueError
            If that is not within the time of the log.
        """
        if not (self.times and self.times[0] <= start_ns <= end_ns <= self.end_ns):
            raise ValueError("the window begins before the log, or ends after it was read")
        spent = 0
        ends = [*self.times[1:], self.end_ns]
        for was, since, until in zip(self.states, self.times, ends, strict=True):
            if was == state:
                spent += max(0, min(until, end_ns) - max(since, start_ns))
        return spent


class Oracle:
    """Sees every hold of the GIL while its ``with`` block runs; one at a time in a process.

    A window begins with the block, and anew with every :meth:`mark`. After the block, the numbers
    stay as they were at its end.

    Parameters
    ----------
    log : int, default 0
        How many of the newest changes of state to keep for :meth:`transitions`.
    beneath : bool, default False
        Where somebody else has redirected the same pointers (a tracer), see what that one passes
        on, rather than refuse.
    """

    def __init__(self, *, log: int = 0, beneath: bool = False) -> None:
        self._capacity = log
        self._beneath = beneath
        self._live: _Extension | None = None

    @staticmethod
    def supported() -> tuple[bool, str]:
        """Whether there can be an oracle here, and else why not."""
        reason = _why_unsupported()
        return not reason, reason

    def __enter__(self) -> Self:
        extension = _extension()
        extension.start(self._capacity, self._beneath)
        self._live = extension
        self._started = self._window = self._now = _Counters(*extension.counters(True))
        self._longest_before = 0
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._live is not None
        self._now = _Counters(*self._live.counters(False))
        self._last_log = self._live.transitions()
        extension, self._live = self._live, None
        extension.stop()

    def mark(self) -> None:
        """Begin a new window."""
        if self._live is None:
            raise RuntimeError("the oracle is not running")
        self._window = self._now = _Counters(*self._live.counters(True))
        self._longest_before = max(self._longest_before, self._now.own_longest)

    def read(self) -> Reading:
        """Return what was seen since the last mark."""
        now = self._counters()
        return _reading(self._window, now, now.own_longest)

    def total(self) -> Reading:
        """Return what was seen since the block began."""
        now = self._counters()
        return _reading(self._started, now, max(self._longest_before, now.own_longest))

    def transitions(self) -> Transitions:
        """Return the log, oldest first."""
        end_ns, count, ring = self._last_log if self._live is None else self._live.transitions()
        entries = array("q", ring)
        kept = len(entries) // 2
        oldest = 2 * (count % kept) if kept else 0
        entries = entries[oldest:] + entries[:oldest]
        return Transitions(entries[0::2], entries[1::2], end_ns, count - kept)

    def state_at(self, times: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
        """Look up whether the GIL was held by a thread not ours at some instants.

        Parameters
        ----------
        times : array_like of int
            CLOCK_MONOTONIC, in ns.

        Returns
        -------
        held : ndarray of bool
        distance : ndarray of int64
            How far each instant is, in ns, from the nearest change of the GIL's state.
        """
        import numpy as np

        log = self.transitions()
        at = np.asarray(times, dtype=np.int64)
        changes = np.asarray(log.times, dtype=np.int64)
        if at.size and not (changes.size and changes[0] <= at.min() and at.max() <= log.end_ns):
            raise ValueError("an instant is older than the log, or after it was read")
        before = np.searchsorted(changes, at, side="right") - 1
        after = np.minimum(before + 1, changes.size - 1)
        held = np.asarray(log.states, dtype=np.int64)[before] == HELD_BY_OTHER
        return held, np.minimum(at - changes[before], np.abs(changes[after] - at))

    def relocations(self) -> list[int]:
        """Return the addresses of the pointers that are redirected while the oracle runs."""
        return _extension().slots()

    def _counters(self) -> _Counters:
        if self._live is not None:
            self._now = _Counters(*self._live.counters(False))
        return self._now


class _Counters(NamedTuple):
    """Since the oracle started, all in ns; but the longest since it was last forgotten."""

    at: int
    held: int
    holds: int
    own_held: int
    own_holds: int
    own_longest: int


def _reading(start: _Counters, end: _Counters, longest: int) -> Reading:
    return Reading(
        start_ns=start.at,
        end_ns=end.at,
        held_ns=end.held - start.held,
        holds=end.holds - start.holds,
        own_held_ns=end.own_held - start.own_held,
        own_holds=end.own_holds - start.own_holds,
        own_longest_ns=longest,
    )


class _Extension(Protocol):
    def start(self, capacity: int, beneath: bool) -> None: ...
    def stop(self) -> None: ...
    def counters(self, forget_longest: bool) -> tuple[int, int, int, int, int, int]: ...
    def transitions(self) -> tuple[int, int, bytes]: ...
    def slots(self) -> list[int]: ...


def _why_unsupported() -> str:
    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return "needs CPython with a GIL"
    if platform.machine() not in ("x86_64", "aarch64") or sys.maxsize < 2**32:
        return f"does not know the relocations of {platform.machine()}"
    if shutil.which(_compiler()[0]) is None:
        return f"needs a C compiler, and {_compiler()[0]} is not there"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "needs Python.h"
    return ""


def _compiler() -> list[str]:
    """Return the interpreter's own compiler, or else any: builders' names differ from ours."""
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    return command if shutil.which(command[0]) else ["cc"]


@functools.cache
def _extension() -> _Extension:
    """Build and load the extension: once in a process, leaving no file behind."""
    reason = _why_unsupported()
    if reason:
        raise RuntimeError(f"the oracle {reason}")
    with tempfile.TemporaryDirectory(prefix="gil-oracle-") as directory:
        path = Path(directory, f"_gil_oracle{sysconfig.get_config_var('EXT_SUFFIX')}")
        _build(path)
        loader = ExtensionFileLoader("_gil_oracle", str(path))
        spec = spec_from_file_location("_gil_oracle", path, loader=loader)
        assert spec is not None
        module = module_from_spec(spec)
        loader.exec_module(module)
    return module


def _build(output: Path) -> None:
    here = Path(__file__).parent
    sources = [str(here / "oracle.c"), str(here / "relocations.c")]
    includes = {sysconfig.get_path("include"), sysconfig.get_path("platinclude")}
    # now: else the hook's first call of pthread_cond_signal would bind it, inside CPython's lock
    flags = ["-std=c11", "-O2", "-shared", "-fPIC", "-Wl,-z,now"]
    command = [*_compiler(), *flags, *(f"-I{path}" for path in includes), *sources]
    result = subprocess.run(
        [*command, "-o", str(output)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if result.returncode:
        raise RuntimeError(f"the oracle could not be built: {shlex.join(command)}\n{result.stderr}")
