"""By which stacks the GIL was held: what a snapshot stores of them, and how it shows them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TypeAlias

    from gilknocker.snapshot.figures import SnapshotFigures

    _StoredFrame: TypeAlias = tuple[str, str, int]
    # Frames, the oldest first; the thread's name; the time that the looks stand for which saw it;
    # the time that a knock waited meanwhile, or threads of a trace, each for itself; that in which
    # it was proven to be native code; and that of the waits in holds that began with a retake.
    _StoredStack: TypeAlias = tuple[tuple[_StoredFrame, ...], str, int, int, int, int]
    _StoredStacks: TypeAlias = tuple[_StoredStack, ...] | None
    _Times: TypeAlias = tuple[int, int, int, int]

__all__ = ["NOTHING", "Blame", "Frame", "HeldStack"]

# What became of stacks that were seen least, when there were too many different ones.
FOLDED: tuple[_StoredFrame, ...] = (("(others)", "", 0),)
MOST_STACKS = 2048  # that totals of many epochs keep apart
# Of a thread that begins or ends, or was started by C code that has called no Python yet.
NO_FRAMES: tuple[_StoredFrame, ...] = (("(no Python code)", "", 0),)
# A stack is called native if that was proven of so much of its time: it can be only while somebody
# has waited long.
LEAST_NATIVE = 0.05

NOTHING = (0, 0, 0, 0)  # the times of a stack that nobody saw


class Frame(tuple[str, str, int]):
    """One frame of a stack: a tuple of its three attributes."""

    __slots__ = ()

    def __new__(cls, function: str, file: str, line: int) -> Frame:
        """Make one; see the attributes."""
        return super().__new__(cls, (function, file, line))

    @property
    def function(self) -> str:
        """Its qualified name; on Python 3.10, whose code objects know no more, the plain one."""
        return self[0]

    @property
    def file(self) -> str:
        """As its code object has it: a path, or ``"<string>"``. The last 512 bytes of it."""
        return self[1]

    @property
    def line(self) -> int:
        """The line that ran; 0 where it belongs to none."""
        return self[2]

    def __repr__(self) -> str:
        return f"Frame(function={self.function!r}, file={self.file!r}, line={self.line})"

    def __getnewargs__(self) -> tuple[str, str, int]:
        return self[0], self[1], self[2]


class HeldStack(tuple[tuple[Frame, ...], str, float, bool]):
    """A stack by which the GIL was held: a tuple of its four attributes."""

    __slots__ = ()

    def __new__(
        cls, frames: tuple[Frame, ...], thread: str, held_seconds: float, native: bool
    ) -> HeldStack:
        """Make one; see the attributes."""
        return super().__new__(cls, (frames, thread, held_seconds, native))

    @property
    def frames(self) -> tuple[Frame, ...]:
        """Outermost first. Empty: it was held by a stack that could not be told.

        The one frame ``"(others)"`` without a file stands for all that was seen least, where
        there were too many different stacks; ``"(no Python code)"`` for a thread that had no
        frame of Python, such as one that begins or ends.
        """
        return self[0]

    @property
    def thread(self) -> str:
        """The thread's name, as far as known; empty where it is not."""
        return self[1]

    @property
    def held_seconds(self) -> float:
        """How long the GIL was held by it, s: its share of the looks, of the time held."""
        return self[2]

    @property
    def native(self) -> bool:
        """Whether it was in native code, which cannot be made to let go.

        Proven where somebody had waited for two switch intervals and it had still not given way,
        though it ran, as Python code would within microseconds. False where nothing is known:
        nobody waited that long, or it slept, or had no CPU, or this Python keeps no native ids
        (3.10).
        """
        return self[3]

    def __repr__(self) -> str:
        last = f"{self.frames[-1]!r}" if self.frames else "unknown"
        native = ", native" if self.native else ""
        return f"<HeldStack {self.held_seconds:.3f} s by {last} in {self.thread!r}{native}>"

    def __getnewargs__(self) -> tuple[tuple[Frame, ...], str, float, bool]:
        return self[0], self[1], self[2], self[3]


class Blame(tuple[str, str, float, float, float]):
    """What a function cost others: a tuple of its five attributes."""

    __slots__ = ()

    def __new__(
        cls,
        function: str,
        file: str,
        held_seconds: float,
        waited_seconds: float,
        retaken_seconds: float = 0.0,
    ) -> Blame:
        """Make one; see the attributes."""
        return super().__new__(cls, (function, file, held_seconds, waited_seconds, retaken_seconds))

    @property
    def function(self) -> str:
        """The innermost function of Python; empty: it could not be told."""
        return self[0]

    @property
    def file(self) -> str:
        """Its file."""
        return self[1]

    @property
    def held_seconds(self) -> float:
        """How long the GIL was held by it, s."""
        return self[2]

    @property
    def waited_seconds(self) -> float:
        """How long the GIL was waited for meanwhile, s: by a trace's threads, else by our knocks.

        A share of all waits, whose sum is that of this column. Of a trace that sum is exact,
        `Snapshot.waited_ns`, and shared out by how many threads waited at each look. Knocks ask as
        often as `Snapshot.knock_interval_ns` says: theirs is `Snapshot.wait_total_ns`.
        """
        return self[3]

    @property
    def retaken_seconds(self) -> float:
        """How much of `waited_seconds` was waited for a hold that began with a retake, s.

        Its thread had let go of the GIL while others waited, and was the next to have it. 0 but of
        a trace, and where too many different stacks were seen or not all could be told.
        """
        return self[4]

    def __repr__(self) -> str:
        retaken = f", {self.retaken_seconds:.3f} s of it retaken" if self.retaken_seconds else ""
        return (
            f"<Blame {self.function!r} ({self.file}): held {self.held_seconds:.3f} s, "
            f"waited for {self.waited_seconds:.3f} s{retaken}>"
        )

    def __getnewargs__(self) -> tuple[str, str, float, float, float]:
        return self[0], self[1], self[2], self[3], self[4]


def stored(
    read: tuple[Iterable[Any], _Times, _Times],
    interval_ns: int,
    threads: dict[int, str],
) -> _StoredStacks:
    """Return what a snapshot stores of ``_core.Sampler.read_stacks()``, unchecked.

    Parameters
    ----------
    read : tuple
        Stacks, the tally of those that were folded, and that of the unknown.
    interval_ns : int
        The time that a look stands for.
    threads : dict
        Names of threads by their serial.
    """
    seen, folded, unknown = read
    sums: dict[tuple[tuple[_StoredFrame, ...], str], _Times] = {}
    every = [
        (frames or NO_FRAMES, threads.get(serial, ""), tally) for frames, serial, tally in seen
    ]
    for frames, thread, tally in (*every, (FOLDED, "", folded), ((), "", unknown)):
        if tally[0]:
            _add(sums, (frames, thread), tuple(looks * interval_ns for looks in tally))
    return tuple((*key, *times) for key, times in sums.items())


def window(later: _StoredStacks, earlier: _StoredStacks) -> _StoredStacks:
    """Return what was seen after the earlier snapshot."""
    if later is None:
        return None
    before = {one[:2]: one[2:] for one in earlier or ()}
    rest = {}
    moved = NOTHING  # what was folded in between: with all that it had, which is no news
    for frames, thread, *times in later:
        had = before.pop((frames, thread), NOTHING)
        if times[0] < had[0]:  # it was folded, and came back
            moved, had = _plus(moved, had), NOTHING
        rest[frames, thread] = _minus(tuple(times), had)
    for had in before.values():
        moved = _plus(moved, had)
    if (FOLDED, "") in rest:
        rest[FOLDED, ""] = _minus(rest[FOLDED, ""], moved)
    return tuple((*key, *times) for key, times in rest.items() if times[0])


def gathered(stacks: Iterable[_StoredStack]) -> _StoredStacks:
    """Return stacks of which those that were seen least are one, if there are too many."""
    told = [one for one in stacks if one[0] not in ((), FOLDED)]
    others: dict[Any, _Times] = {}
    for frames, thread, *times in (one for one in stacks if one[0] in ((), FOLDED)):
        _add(others, (frames, thread), tuple(times))
    told.sort(key=lambda one: -one[2])
    for _, _, *times in told[MOST_STACKS:]:
        _add(others, (FOLDED, ""), tuple(times))
    return (*told[:MOST_STACKS], *((*key, *times) for key, times in others.items()))


def unknown(snapshot: SnapshotFigures, beside: SnapshotFigures) -> tuple[_StoredStack, ...]:
    """Return what a snapshot without stacks adds to one with them: holds of which nothing is known.

    In the unit of the others: their times sum to what was held and waited there only when they are
    shown.
    """
    others = beside._stacks or ()
    held = _in_unit_of([one[2] for one in others], beside.held_seconds, snapshot.held_seconds)
    waited = _in_unit_of([one[3] for one in others], *map(waited_seconds, (beside, snapshot)))
    if snapshot.method != "trace":  # a look sees that somebody waits, or that nobody does
        waited = min(waited, held)
    return (((), "", held, waited, 0, 0),) if held or waited else ()


def _in_unit_of(column: list[int], whole_seconds: float, seconds: float) -> int:
    """Return what is to `seconds` as the sum of a column is to the whole."""
    if seconds != seconds:
        return 0
    unit = _unit(column, whole_seconds)
    return round(seconds / unit if unit else seconds * 1e9)


def merged(a: Iterable[_StoredStack], b: Iterable[_StoredStack]) -> tuple[_StoredStack, ...]:
    """Return what two snapshots saw: equal stacks of threads of one name are one."""
    sums: dict[Any, _Times] = {}
    for frames, thread, *times in (*a, *b):
        _add(sums, (frames, thread), tuple(times))
    return tuple((*key, *times) for key, times in sums.items())


def _plus(a: tuple[int, ...], b: tuple[int, ...]) -> _Times:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


def _minus(a: tuple[int, ...], b: tuple[int, ...]) -> _Times:
    return tuple([max(a[k] - b[k], 0) for k in range(4)])  # type: ignore[return-value]


def _add(sums: dict[Any, _Times], key: Any, times: tuple[int, ...]) -> None:
    sums[key] = _plus(sums.get(key, NOTHING), times)


def held_stacks(stored: _StoredStacks, held_seconds: float) -> tuple[HeldStack, ...]:
    """Return stacks as they are shown, the largest first: their times sum to `held_seconds`."""
    stacks = sorted(stored or (), key=lambda one: -one[2])
    seconds = _unit([one[2] for one in stacks], held_seconds)
    return tuple(
        HeldStack(
            tuple(Frame(*frame) for frame in frames),
            thread,
            held * seconds,
            native >= LEAST_NATIVE * held > 0,
        )
        for frames, thread, held, _, native, _ in stacks
    )


def waited_seconds(snapshot: SnapshotFigures) -> float:
    """Return for how long the GIL was waited for: by the threads of a trace, else by our knocks."""
    traced = snapshot.method == "trace"
    return (snapshot.waited_ns if traced else snapshot.wait_total_ns) / 1e9


def blame(snapshot: SnapshotFigures) -> tuple[Blame, ...]:
    """Return each function's part in the waits, the largest first."""
    stacks = snapshot._stacks or ()
    held_unit = _unit([one[2] for one in stacks], snapshot.held_seconds)
    paid = waited_seconds(snapshot)
    waited_unit = _unit([one[3] for one in stacks], paid)
    sums: dict[tuple[str, str], _Times] = {}
    for frames, _, *times in stacks:
        _add(sums, frames[-1][:2] if frames else ("", ""), tuple(times))
    rows = [
        Blame(*key, held * held_unit, waited * waited_unit, retaken * waited_unit)
        for key, (held, waited, _, retaken) in sums.items()
    ]
    if rows and paid and not waited_unit:  # no look saw anybody wait
        rows.append(Blame("", "", 0.0, paid))
    return tuple(sorted(rows, key=lambda row: (-row.waited_seconds, -row.held_seconds)))


def _unit(column: list[int], seconds: float) -> float:
    """Return how many seconds one ns of a column stands for: all of it for `seconds`."""
    return seconds / sum(column) if any(column) and seconds == seconds else 0.0
