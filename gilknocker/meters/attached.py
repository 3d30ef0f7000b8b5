"""What `gilknocker attach` starts in a process that already runs, and ends again.

It answers over a socket what it is asked, a line of JSON each: ``start`` with what to measure,
``read``, ``end``. Who asks may die at any moment: the socket says so, and all is taken back.
"""

from __future__ import annotations

import atexit
import os

# The module around this one would be one more that stays. Now: a program may replace what it has.
from _socket import AF_UNIX, MSG_NOSIGNAL, socket, socketpair
from contextlib import suppress
from functools import partial
from json import JSONDecoder, JSONEncoder
from select import POLLIN, poll
from typing import TYPE_CHECKING

from gilknocker import _core
from gilknocker.meters.bare_thread import BareThread
from gilknocker.meters.lifecycle import FORKS, PROCESS
from gilknocker.meters.tracing import TRACING

if TYPE_CHECKING:
    from typing import Any

    from gilknocker.meters.knock_knock import KnockKnock
    from gilknocker.meters.stall_watch import StallWatch
    from gilknocker.meters.tracer import GilTracer

__all__ = ["PROTOCOL", "attach"]

# Of what is said over the socket: both ends must mean the same.
PROTOCOL = 1

_STOP_TIMEOUT_NS = 1_000_000_000
_SEND_SECONDS = 1.0  # who does not read for so long is as good as dead
_MOST_BYTES = 65_536
_decode, _encode = JSONDecoder().decode, JSONEncoder().encode


def attach(control: socket, folder: str) -> None:
    """Begin to answer what comes over a socket, in a thread of ours, and return.

    Parameters
    ----------
    control : socket
        It is connected; it will be closed.
    folder : str
        Where the socket is to which it is connected.
    """
    attachment = _Attachment(control, folder)
    _ATTACHED.add(attachment)
    try:
        PROCESS.start(attachment)
    except BaseException:
        attachment.end()
        raise


class _Attachment:
    """A thread that answers; a runner of :data:`gilknocker.meters.lifecycle.PROCESS`.

    That stops it before a fork and starts it again afterwards; what is measured goes on meanwhile.
    As the status line's it is a bare thread, unknown to :mod:`threading`, and ours: not counted.
    All but `stop` belongs to that thread, and to whoever has stopped it.
    """

    def __init__(self, control: socket, folder: str) -> None:
        control.settimeout(_SEND_SECONDS)
        self._control, self._folder = control, folder
        self._wake, self._woken = socketpair()
        self._meter: GilTracer | KnockKnock | None = None
        self._watch: StallWatch | None = None
        self._stalls: socket | None = None
        self._rest = b""  # of what was asked: a line that is not whole yet
        self._thread = BareThread()

    # ---- the thread ----------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._thread.is_running

    def start(self) -> None:
        self._thread.start(self._work)

    def stop(self, timeout_ns: int, /) -> bool:
        if self._thread.is_running:
            with suppress(OSError):  # it ends by itself at this moment
                self._wake.send(b"x", MSG_NOSIGNAL)
        return self._thread.wait(timeout_ns)

    def _work(self) -> None:
        goes_on = False
        # Nothing of ours may be seen in somebody else's program, whatever it has become.
        with suppress(BaseException):
            goes_on = self._answer_until_stopped()
        if not goes_on:
            with suppress(BaseException):
                self.end()

    def _answer_until_stopped(self) -> bool:
        """Answer what is asked; True if the thread was stopped, False if that is all."""
        waiting = poll()
        waiting.register(self._control, POLLIN)
        waiting.register(self._woken, POLLIN)
        while True:
            ready = [fd for fd, _ in waiting.poll()]
            if self._woken.fileno() in ready:
                self._woken.recv(_MOST_BYTES)
                return True
            data = self._control.recv(_MOST_BYTES)
            if not data:
                return False
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if not self._answer(_decode(line.decode())):
                    return False

    # ---- answers -------------------------------------------------------------------------------

    def _answer(self, asked: dict[str, Any]) -> bool:
        """Answer one question; whether there may be more."""
        answer: dict[str, Any] = {}
        try:
            if asked["ask"] == "start":
                self._begin(asked)
            else:
                answer = self._reading(ends=asked["ask"] == "end")
        except Exception as error:
            if TRACING.exited:  # the process ends, which the end of the connection says
                return False
            answer = {"error": str(error) or type(error).__name__}
        self._send(answer)
        return not ("error" in answer or answer.get("ended"))

    def _begin(self, asked: dict[str, Any]) -> None:
        if asked["method"] == "trace":
            from gilknocker.meters.tracer import GilTracer

            self._meter = GilTracer(
                0, stacks=asked["stacks"], interval_micros=asked["interval_micros"]
            )
        else:
            from gilknocker.meters.knock_knock import KnockKnock

            self._meter = KnockKnock(
                asked["interval_micros"], stacks=asked["stacks"], method=asked["method"]
            )
        if asked["stalls"] is not None:
            from gilknocker.meters.stall_watch import watch_stalls

            self._stalls = socket(AF_UNIX)
            self._stalls.connect(f"{self._folder}/stalls")
            self._watch = watch_stalls(asked["stalls"], self._stalls.fileno())
        self._meter.start()

    def _reading(self, *, ends: bool) -> dict[str, Any]:
        from gilknocker.meters.knock_knock import KnockKnock

        assert self._meter is not None
        if ends:
            self._meter.stop()
        threads = [] if isinstance(self._meter, KnockKnock) else self._meter.threads()
        return {
            "snapshot": self._meter.snapshot().to_dict(),
            "threads": [one._asdict() for one in threads],
            "ended": ends,
        }

    def _send(self, answer: dict[str, Any]) -> None:
        rest = memoryview(_encode(answer).encode() + b"\n")
        while rest:
            rest = rest[self._control.send(rest, MSG_NOSIGNAL) :]

    # ---- the end -------------------------------------------------------------------------------

    def say_the_last(self) -> None:
        """Tell what was measured, unasked: the process ends."""
        if self._meter is not None:
            self._send(self._reading(ends=True))

    def end(self) -> None:
        """Stop measuring, and let go of all."""
        _ATTACHED.discard(self)
        meter, self._meter = self._meter, None
        try:
            if meter is not None:
                meter.stop()
            if self._watch is not None:
                self._watch.stop()
        finally:
            self.close()
            # Several threads may have come where one was wanted: the folder is that one's, too.
            if all(other._folder != self._folder for other in _ATTACHED):
                self._tidy()

    def _tidy(self) -> None:
        """Remove what who asks has not removed: it was killed right after the start."""
        for name in ("attach.py", "socket", "stalls"):
            with suppress(OSError):
                os.unlink(f"{self._folder}/{name}")
        with suppress(OSError):
            os.rmdir(self._folder)

    def close(self) -> None:
        """Close what it has open."""
        for one in (self._control, self._wake, self._woken, self._stalls):
            if one is not None:
                one.close()

    def leave(self) -> None:
        """Have nothing to do with it, in a forked child: who asks means the parent."""
        if self._watch is not None:
            self._watch.stop()
        self.close()


_ATTACHED: set[_Attachment] = set()  # those that have not ended


def _at_exit() -> None:
    for attachment in tuple(_ATTACHED):
        if PROCESS.stop(attachment, _STOP_TIMEOUT_NS):
            with suppress(Exception):
                attachment.say_the_last()
            with suppress(Exception):
                attachment.end()


def _after_fork_in_child() -> None:
    attached = tuple(_ATTACHED)
    _ATTACHED.clear()
    for attachment in attached:
        with suppress(Exception):
            attachment.leave()


# Handlers at exit run in reverse: after ours those of the tracers and the lifecycle, which were
# imported above. Else a meter that is being started at that moment would be refused.
atexit.register(_core.insist, _at_exit)
if FORKS:
    os.register_at_fork(after_in_child=partial(_core.insist, _after_fork_in_child))
