"""Which tests kept the GIL from all others for too long, and in which line."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

from gilknocker._core import monotonic_ns
from gilknocker._units import format_ns, format_percent, printable
from gilknocker.meters.stall_watch import StallWatch, silent_watch, watch_stalls
from gilknocker.reports.stacks import frame_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, TypeAlias

    from gilknocker.meters.stalls import Stall

    _Frames: TypeAlias = Sequence[tuple[str, str, int]]

__all__ = ["StallsByTest", "phase_with_most", "stack_tail"]

# So long it is told at once, on the real stderr: nothing else may ever be told of that test.
HUNG_NS = 10_000_000_000
# A stall is found to be over a few looks later: by then other tests may have run.
_MOST_MARKS = 10_000
_PHASES = {"setup": ", in its set-up", "call": "", "teardown": ", in its teardown or after it"}
_MOST_FRAMES = 5


class StallsByTest:
    """Watches for stalls while tests run, and says in which of them each was.

    One watch for all of them, which only keeps what it finds; and one that writes to stderr, of
    tests that do not come to an end. All of it happens in the thread that runs the tests.

    Parameters
    ----------
    longer_than_ns : int
        What is tolerated.
    worker : str
        Which one of pytest-xdist this is; "" if it is none.

    Attributes
    ----------
    found : list of dict
        The stalls: what docs/pytest.md lists, no value that JSON or pytest-xdist does not have.
    problem : str
        Why nothing is watched; "" if it is.
    """

    def __init__(self, longer_than_ns: int, worker: str = "") -> None:
        self._longer_than_ns = longer_than_ns
        self._worker = worker
        self.found: list[dict[str, Any]] = []
        self.problem = ""
        self._watches: list[StallWatch] = []
        self._marks: deque[tuple[int, str, str]] = deque(maxlen=_MOST_MARKS)
        self._number = 0  # of the newest that was taken
        # Now, for during tests that is what pytest captures.
        try:
            self._stderr = os.dup(2)
        except OSError:  # it is closed
            self._stderr = -1

    def enter(self, nodeid: str, phase: str) -> None:
        """Note that a phase of a test begins, and the one before is over."""
        if not (self._watches or self.problem):
            self._start()
        self._marks.append((monotonic_ns(), nodeid, phase))

    def take(self) -> None:
        """Take the stalls that are over by now; to be called while nothing is replaced."""
        if not self._watches:
            return
        for stall in self._watches[0].stalls_after(self._number):
            self._number = stall.number
            self.found.append(self._described(stall))

    def stop(self) -> None:
        """End the watch, and take what it knows. Nothing if it has ended."""
        for watch in self._watches:
            watch.stop()
        self.take()
        self._watches.clear()
        stderr, self._stderr = self._stderr, -1
        if stderr >= 0:
            os.close(stderr)

    def lines(self, count: int, root: str) -> list[str]:
        """Return what is printed of the stalls, the longest first.

        Parameters
        ----------
        count : int
            Of how many; 0 for all.
        root : str
            The folder that names of tests are relative to.
        """
        tolerated = format_ns(self._longer_than_ns, 3)
        if self.problem:
            return [f"Stalls were not watched for: {self.problem}"]
        if not self.found:
            return [f"No stall: nobody kept the GIL from all others for {tolerated} or longer"]
        times = "once" if len(self.found) == 1 else f"{len(self.found)} times"
        lines = [f"Stalls: the GIL was kept from all others for {tolerated} or longer, {times}:"]
        ordered = sorted(self.found, key=lambda stall: -stall["held_ns"])
        for stall in ordered[: count or None]:
            own = os.path.join(root, stall["nodeid"].partition("::")[0])
            lines += [
                f"  {format_ns(stall['held_ns'], 3)}  {stall['nodeid']}{_PHASES[stall['when']]}",
                f"    {_by(stall)}",
                *(f"      {line}" for line in stack_tail(stall["frames"], own, root)),
            ]
        if 0 < count < len(ordered):
            lines.append(f"  {len(ordered) - count} more: --gilknocker-count=0 shows all")
        return lines

    def _start(self) -> None:
        try:
            self._watches.append(silent_watch(f"{self._longer_than_ns} ns"))
            if self._stderr >= 0:
                hung = max(HUNG_NS, self._longer_than_ns)
                with suppress(ValueError):  # for reading only: the end of the run tells of them
                    self._watches.append(watch_stalls(f"{hung} ns", self._stderr))
        except Exception as error:
            self.problem = str(error)

    def _described(self, stall: Stall) -> dict[str, Any]:
        until = stall.since_ns + stall.held_ns
        nodeid, phase = phase_with_most(reversed(self._marks), stall.since_ns, until)
        return {
            "nodeid": nodeid,
            "when": phase,
            "worker": self._worker or None,
            "held_ns": stall.held_ns,
            "since_unix_ns": stall.since_unix_ns,
            "thread": stall.thread,
            "native_id": stall.native_id,
            "cpu_share": stall.cpu_share,
            "waiters": stall.waiters,
            "collecting": stall.collecting,
            "frames": [list(frame) for frame in stall.frames],
        }


def phase_with_most(
    marks: Iterable[tuple[int, str, str]], since: int, until: int
) -> tuple[str, str]:
    """Return the test and its phase that most of a stall was in, the later of equal ones.

    A stall that is a test's may begin before it, in Python code that nobody asked to let go.

    Parameters
    ----------
    marks : iterable of (int, str, str)
        When each phase began, ns, the newest first; one ends where the next begins.
    since, until : int
        The stall, ns.
    """
    found, most, end = ("", ""), float("-inf"), until
    for begin, *names in marks:
        shared = min(until, end) - max(since, begin)
        if shared > most:
            found, most = (names[0], names[1]), shared
        if begin <= since:
            break
        end = begin
    return found


def stack_tail(frames: _Frames, own: str, root: str) -> list[str]:
    """Return the most recent calls first: a few, and that which the test's own file begins with.

    Parameters
    ----------
    frames : sequence of (str, str, int)
        Function, file and line, the outermost first.
    own : str
        The file of the test; "" for none.
    root : str
        The folder that files are shown relative to; "" for none.
    """
    recent = list(reversed(frames))
    depth = max((n for n, frame in enumerate(recent) if frame[1] == own), default=None)
    shown = recent[: _MOST_FRAMES if depth is None else min(depth + 1, _MOST_FRAMES)]
    lines = [_place(frame, root) for frame in shown]
    if depth is not None and depth >= _MOST_FRAMES:
        lines[-1:] = [f"({depth - _MOST_FRAMES + 1} more)", _place(recent[depth], root)]
    return lines


def _place(frame: tuple[str, str, int] | list[Any], root: str) -> str:
    function, file, line = frame
    # No function of os.path, which a test may have replaced.
    inside = file.removeprefix(f"{root}{os.sep}") if root else file
    return frame_words((function, inside, line))


def _by(stall: dict[str, Any]) -> str:
    parts = [f"by {printable(stall['thread']) or 'a thread without a name'}"]
    if stall["cpu_share"] is not None:
        parts.append(f"on a CPU {format_percent(stall['cpu_share'])} % of the time")
    if stall["collecting"] is not None:
        parts.append(f"collecting garbage, generation {stall['collecting']}")
    if stall["frames"]:
        return f"{', '.join(parts)}; the most recent call first:"
    return f"{', '.join(parts)}; its stack could not be read"
