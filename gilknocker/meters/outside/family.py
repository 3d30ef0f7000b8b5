"""A process and all that it starts, each watched from outside for as long as it lives.

Nothing of it travels: no variable, option or file of ours is in the program or its children, and
who is killed takes nothing away, for the numbers are on this side.
"""

from __future__ import annotations

import time

from gilknocker.meters.outside.process import NoProcess, Process
from gilknocker.meters.outside.relatives import ExitWatch, Stat, children, gil_waiters, stat
from gilknocker.meters.outside.target import Target, Unreadable
from gilknocker.meters.outside.watch import OutsideMeter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilknocker.snapshot.value import Snapshot

__all__ = ["PERIOD_SECONDS", "Family", "Member"]

# How often to look for processes that have begun, and for threads that wait.
PERIOD_SECONDS = 0.02
# For how long a new image may become a Python: then it is none that can be read.
_PATIENCE_SECONDS = 5.0
# How often to try meanwhile.
_TRIES_SECONDS = 0.1
# How often to ask what threads are called.
_NAMES_NS = 500_000_000
# A fork that another program replaces sooner than that was made for it; vfork is in its parent's
# memory until then.
_ON_THE_WAY_NS = 200_000_000


class Member:
    """One program in one process: until it ends, or another takes its place (``exec``).

    Attributes
    ----------
    pid, ppid : int
        Its number, and its parent's when it was found.
    command : list of str
        Its command line.
    forked : bool
        Whether it is a copy of its parent, by ``fork``: the same program.
    waited_ns : int
        How long its threads waited for the GIL, summed; seen every 20 ms.
    cpu_ns : int
        The CPU time that it has used, as last seen.
    replaced : bool
        Whether another program has taken its place.
    runs_on : bool
        Whether it was still there at the end.
    exit_status : int or None
        As ``subprocess`` has it; None if it goes on, or nobody can know.
    problem : str
        Why it is not measured; "" if it is.
    """

    def __init__(self, found: Stat, pid: int, interval_micros: int) -> None:
        self.pid, self.ppid = pid, found.ppid
        self.command: list[str] = []
        self.forked = self.replaced = self.runs_on = False
        self.waited_ns, self.cpu_ns = 0, found.cpu_ns
        self.exit_status: int | None = None
        self.problem = "it ended too early"
        self.image = found.image
        self._exit = ExitWatch(pid)
        self._interval_micros = interval_micros
        self._meter: OutsideMeter | None = None
        self._given_up = time.monotonic() + _PATIENCE_SECONDS
        self._next_try = 0.0
        self._last_ns = self._names_due_ns = 0

    @property
    def snapshot(self) -> Snapshot | None:
        """What was measured; None if nothing was."""
        if self._meter is None:
            return None
        found = self._meter.snapshot()
        return found if found.ticks else None

    @property
    def was_on_its_way(self) -> bool:
        """Whether it was only about to become what took its place: no program of its own."""
        found = self.snapshot
        return found is None or (self.forked and found.observed_ns < _ON_THE_WAY_NS)

    def look(self, found: Stat) -> None:
        """See what has become of it; called every now and then while it is there."""
        self.cpu_ns = found.cpu_ns
        if self._meter is None:
            self._try()
        elif not self._meter.gone():
            now = time.monotonic_ns()
            target = self._meter.target
            self.waited_ns += gil_waiters(self.pid, target.gil_range) * (now - self._last_ns)
            self._last_ns = now
            if now >= self._names_due_ns:
                self._names_due_ns = now + _NAMES_NS
                self._meter.learn_names()
                self.command = target.process.command() or self.command  # some rename themselves

    def _try(self) -> None:
        now = time.monotonic()
        if not self._next_try <= now <= self._given_up:
            return
        self._next_try = now + _TRIES_SECONDS
        try:
            self.command = Process(self.pid).command() or self.command
            target = Target(self.pid)
            meter = OutsideMeter(target, self._interval_micros)
            meter.__enter__()
        except (NoProcess, Unreadable) as error:
            if self._is_there():  # of one that ends meanwhile, what was said before stands
                self.problem = str(error)
            return
        self._meter, self.problem, self._last_ns = meter, "", time.monotonic_ns()

    def _is_there(self) -> bool:
        now = stat(self.pid)
        return now is not None and now.goes_on and now.image == self.image

    def end(self, *, replaced: bool = False) -> None:
        """Look at it no more: it has ended, or another program has its place."""
        self.replaced = replaced
        if self._meter is not None:
            self._meter.__exit__(None, None, None)
        if not replaced and self.image:  # 0: of a user whose processes are none of our business
            self.exit_status = self._exit.status()
        self._exit.close()


class Family:
    """A process, and all that descend from it.

    Those that are found no more as its descendants, because a parent has ended, are still of the
    family. One that lives for less than 40 ms may be missed.

    Parameters
    ----------
    pid : int
        The process that all begins with.
    interval_micros : int
        The mean interval of looks at each GIL, µs.

    Attributes
    ----------
    members : list of Member
        All that there were, in the order in which they were found.
    problem : str
        Why they are not watched to their end; "" if they are.
    """

    def __init__(self, pid: int, interval_micros: int) -> None:
        self._first = pid
        self._interval_micros = interval_micros
        self.members: list[Member] = []
        self.problem = ""
        self._living: dict[int, Member] = {}
        self._new: dict[int, int] = {}  # found once: their images

    def look(self) -> None:
        """Find who is new and who has gone; see who waits."""
        seen: dict[int, Stat] = {}
        for pid in self._candidates():
            if (found := stat(pid)) is not None:
                seen[pid] = found
        for pid in [pid for pid in self._living if pid not in seen or seen[pid].ended]:
            self._living.pop(pid).end()
        for pid, found in seen.items():
            if found.goes_on:
                self._look_at(pid, found)
        self._new = {pid: image for pid, image in self._new.items() if pid in seen}

    def _candidates(self) -> Iterator[int]:
        waiting, met = [self._first, *self._living], set()
        while waiting:
            pid = waiting.pop()
            if pid not in met:
                met.add(pid)
                yield pid
                waiting += children(pid)

    def _look_at(self, pid: int, found: Stat) -> None:
        member = self._living.get(pid)
        if member is not None and member.image != found.image:
            self._living.pop(pid).end(replaced=True)
            if member.was_on_its_way:
                self.members.remove(member)
            member = None
        if member is not None:
            member.look(found)
        elif self._new.get(pid) == found.image:
            self._adopt(pid, found)
        else:  # it may be about to call exec, in the memory of its parent still (vfork)
            self._new[pid] = found.image

    def _adopt(self, pid: int, found: Stat) -> None:
        member = Member(found, pid, self._interval_micros)
        parent = self._living.get(found.ppid)
        member.forked = parent is not None and parent.image == found.image
        self.members.append(member)
        self._living[pid] = member
        member.look(found)

    def end(self) -> None:
        """Look at nobody any more. Who is still there has no exit status."""
        if not self.problem:
            self.look()
        for member in self._living.values():
            member.end()
            member.runs_on = member.exit_status is None
        self._living.clear()
