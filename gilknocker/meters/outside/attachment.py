"""A meter in another process: started there, read and ended from here."""

from __future__ import annotations

import json
import select
import time

from gilknocker._units import printable
from gilknocker.meters.outside.debugger import Debugger
from gilknocker.meters.outside.process import NoProcess, stopped_words
from gilknocker.meters.outside.rendezvous import Rendezvous, hint
from gilknocker.meters.outside.target import Unreadable
from gilknocker.snapshot.thread_times import ThreadTimes
from gilknocker.snapshot.value import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from gilknocker.meters.outside.target import Target

__all__ = ["Attachment", "NoAnswer"]

_TRIES_SECONDS = 0.005
# So long the main thread may look by itself, before it is made to; and before others are asked.
_INSIST_AFTER, _OTHERS_AFTER = 0.05, 0.2
# So long it takes from a thread's look at a request to its having come, unless it has no CPU.
_SETTLE_SECONDS = 0.05
# How often to ask for the numbers: so old are those of a process that is killed.
_PERIOD_SECONDS = 1.0
_MOST_BYTES = 2**20


class NoAnswer(Exception):
    """No thread of the process did what was asked, in the time that it had."""


class Attachment:
    """Lets a process measure itself for some time.

    Parameters
    ----------
    target : Target
        The process.
    timeout : float
        How long to wait for an answer, s.
    on_stall : callable
        Called with what is told of stalls, bytes.

    Attributes
    ----------
    snapshot : Snapshot or None
        The numbers as they were read last.
    threads : list of ThreadTimes
        What each thread did, of a trace.
    has_ended : bool
        Whether the process has.

    Raises
    ------
    Unreadable
        If it cannot be attached to.
    NoProcess
        If it has ended.
    NoAnswer
        If all its threads sleep or are stopped, or native code keeps the GIL.
    """

    def __init__(self, target: Target, timeout: float, on_stall: Callable[[bytes], object]) -> None:
        self._target, self._timeout, self._on_stall = target, timeout, on_stall
        self.snapshot: Snapshot | None = None
        self.threads: list[ThreadTimes] = []
        self.has_ended = False
        self._rest = b""
        self._stalls: socket.socket | None = None
        debugger = Debugger(target)
        self._rendezvous = Rendezvous(target)
        try:
            self._control = self._called(debugger)
        except BaseException:
            self._rendezvous.close()
            raise

    def _called(self, debugger: Debugger) -> socket.socket:
        """Return the connection of the thread that did first what was asked."""
        came: list[socket.socket] = []
        try:
            self._call(debugger, came)
        finally:
            # Who has begun reads the file at this moment, and comes here: it must find both.
            asked = debugger.withdraw()
            while len(came) < asked:
                late = self._rendezvous.accept(_SETTLE_SECONDS)
                if late is None:
                    break
                came.append(late)
            for other in came[1:]:
                other.close()
        if came:
            return came[0]
        process = self._target.process
        if process.is_stopped:
            raise NoAnswer(stopped_words(process.pid))
        raise NoAnswer(
            f"no thread of process {process.pid} ran Python code for {self._timeout:g} s: "
            "all of them sleep, or native code keeps the GIL"
        )

    def _call(self, debugger: Debugger, came: list[socket.socket]) -> None:
        """Ask one thread after the other until one comes, or the time is over."""
        script, begun, insisted = self._rendezvous.script, time.monotonic(), False
        debugger.ask_the_main_thread(script)
        while not came and (waited := time.monotonic() - begun) < self._timeout:
            connection = self._rendezvous.accept(_TRIES_SECONDS)
            if connection is not None:
                came.append(connection)
            elif waited > _INSIST_AFTER and not insisted:
                debugger.insist()
                insisted = True
            elif waited > _OTHERS_AFTER:
                debugger.ask_another_thread(script)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._control.close()
        self._rendezvous.close()
        if self._stalls is not None:
            self._stalls.close()

    # ---- measuring -----------------------------------------------------------------------------

    def start(
        self, method: str, *, interval_micros: int | None, stacks: bool, stalls: str | None
    ) -> None:
        """Let it begin; the arguments are those of ``KnockKnock``, and what stalls to tell of.

        Raises
        ------
        Unreadable
            If it cannot.
        NoProcess
            If it has ended.
        NoAnswer
            If it says nothing.
        """
        self._rendezvous.listen_for_stalls()
        self._say(
            {
                "ask": "start",
                "method": method,
                "interval_micros": interval_micros,
                "stacks": stacks,
                "stalls": stalls,
            }
        )
        answer = self._hear(time.monotonic() + self._timeout)
        if self.has_ended:
            raise NoProcess(self._target.process.fate)
        if answer is None:
            raise NoAnswer(f"process {self._target.process.pid} does not answer any more")
        if "error" in answer:
            raise Unreadable(self._problem(str(answer["error"])))
        if stalls is not None:
            self._stalls = self._rendezvous.accept(self._timeout)
        self._rendezvous.close()

    def _problem(self, error: str) -> str:
        pid = self._target.process.pid
        return f"process {pid} cannot measure itself: {printable(error)}{hint(self._target, error)}"

    def measure(self, seconds: float) -> None:
        """Wait for some time, or until the process has ended; `snapshot` has the numbers so far."""
        now = time.monotonic()
        until, asked_at = now + seconds, now
        while not self.has_ended and (now := time.monotonic()) < until:
            if now >= asked_at + _PERIOD_SECONDS:
                self._say({"ask": "read"})
                asked_at = now
            self._take(self._hear(min(until, asked_at + _PERIOD_SECONDS)))

    def end(self) -> bool:
        """Let it end measuring; whether it has said so, else it does as soon as it can."""
        self._say({"ask": "end"})
        until = time.monotonic() + self._timeout
        while not self.has_ended and time.monotonic() < until:
            answer = self._hear(until)
            self._take(answer)
            if answer is not None and answer.get("ended"):
                return True
        return False

    def _take(self, answer: dict[str, Any] | None) -> None:
        if answer is None:
            return
        if "error" in answer:
            raise Unreadable(self._problem(str(answer["error"])))
        try:
            threads = [ThreadTimes.from_dict(row) for row in answer["threads"]]
            self.snapshot, self.threads = Snapshot.from_dict(answer["snapshot"]), threads
        except (KeyError, TypeError, ValueError) as error:
            raise Unreadable(self._problem(f"it has another gilknocker ({error})")) from None

    # ---- the conversation ----------------------------------------------------------------------

    def _say(self, asked: dict[str, Any]) -> None:
        try:
            self._control.sendall(json.dumps(asked).encode() + b"\n")
        except OSError:  # what it said before is still to be heard
            return

    def _hear(self, until: float) -> dict[str, Any] | None:
        """Return what it says next; None if it says nothing in that time, or has ended."""
        while b"\n" not in self._rest:
            sockets = [one for one in (self._control, self._stalls) if one is not None]
            left = max(until - time.monotonic(), 0)
            ready = select.select(sockets, [], [], left)[0]
            if not ready:
                return None
            if self._stalls in ready:
                self._tell_stalls()
            if self._control in ready and not self._read_more():
                self.has_ended = True
                return None
        line, _, self._rest = self._rest.partition(b"\n")
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            said = None
        return said if isinstance(said, dict) else {}

    def _read_more(self) -> bool:
        try:
            data = self._control.recv(_MOST_BYTES)
        except ConnectionError:
            return False
        self._rest += data
        return bool(data)

    def _tell_stalls(self) -> None:
        assert self._stalls is not None
        data = self._stalls.recv(_MOST_BYTES)
        if data:
            self._on_stall(data)
        else:
            self._stalls.close()
            self._stalls = None
