"""A meter of another process: the held fraction, who held, and where in the program."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress

from gilknocker.meters.holder_names import named
from gilknocker.meters.outside.process import NoProcess
from gilknocker.meters.outside.target import Target
from gilknocker.snapshot.fields import COUNTS, TRACED
from gilknocker.snapshot.sources import from_core
from gilknocker.snapshot.stacks import NOTHING, stored

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from typing_extensions import Self

    from gilknocker.snapshot.value import Snapshot

__all__ = ["PATIENCE", "OutsideMeter"]

# How long it may go unnoticed that the process has ended, s.
PATIENCE = 0.1

_NUMBERS = iter(range(1, 2**62))


class OutsideMeter:
    """Looks at the GIL of a process from outside.

    Parameters
    ----------
    target : Target
        The process.
    interval_micros : int, default 1000
        The mean interval of looks, µs.
    """

    def __init__(self, target: Target, interval_micros: int = 1000) -> None:
        self.target = target
        self.interval_ns = interval_micros * 1000
        self._names: dict[int, str] = {}
        self._number = next(_NUMBERS)
        # A process may be watched again, and a reader looks once.
        self._reader = target.reader

    def __enter__(self) -> Self:
        self._reader.start(self.interval_ns, random.getrandbits(63))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._reader.stop()

    def learn_names(self) -> None:
        """Remember the names of the threads that are there: later they may have gone."""
        with suppress(NoProcess):
            self._names |= self.target.process.threads()

    def read(self) -> dict[str, Any]:
        """Return what was counted, and remember the names of the threads that are there."""
        self.learn_names()
        return dict(self._reader.read())

    def wait(self, seconds: float) -> bool:
        """Wait for some time, or until the process is no longer what it was: whether it is not."""
        end = time.monotonic() + seconds
        # In pieces, for the reader notices by itself that the process has gone; but not that it
        # executes another program, where that has the same addresses.
        while (left := end - time.monotonic()) > 0:
            if self.is_over():
                return True
            time.sleep(min(left, PATIENCE))
        return self.is_over()

    def is_over(self) -> bool:
        """Whether the process is no longer what it was: it has ended, or is another program."""
        return self.gone() or self.target.process.is_replaced

    def wait_for_a_look(self, seconds: float) -> None:
        """Wait until the GIL was looked at, for some time at most, or until the process ended."""
        end = time.monotonic() + seconds
        while not self._reader.read()["ticks"] and not self.gone() and time.monotonic() < end:
            time.sleep(self.interval_ns / 1e9)

    def gone(self) -> bool:
        """Whether the process was found to have ended."""
        return bool(self._reader.gone())

    def name(self, native_id: int, serial: int) -> str:
        """Return what to call a thread: its name to the system, or its number."""
        name = self._names.get(native_id)
        return f"{name} ({native_id})" if name else f"thread {native_id or serial - 1}"

    def snapshot(self) -> Snapshot:
        """Return the numbers so far as one value; its method is "outside", and it has no waits."""
        counted = self.read()
        now, unix = time.monotonic_ns(), time.time_ns()
        # From outside nobody knocks: no look is known to have been at a time when one waited.
        seen = [
            (frames, serial, (ticks, 0, 0, 0))
            for serial, _, _, frames, ticks in counted["stacks"]
            if frames is not None
        ]
        unknown = sum(ticks for *_, frames, ticks in counted["stacks"] if frames is None)
        names = {serial: self.name(native, serial) for serial, _, native, _, _ in counted["stacks"]}
        holders = named(
            (
                (native, serial, ident, names[serial], ticks)
                for serial, ident, native, _, ticks in counted["stacks"]
            ),
            {},
        )
        observed = counted["ended_ns"] - counted["began_ns"]
        counts = {
            **{name: 0 for name in COUNTS if name not in (*TRACED, "held_ns")},
            **{name: counted[name] for name in ("ticks", "ticks_held", "ticks_late")},
            "ticks_missed": counted["ticks_missed"],
            "cpu_ns": counted["cpu_ns"],
            "observed_ns": observed,
            "start_ns": counted["began_ns"],
            "end_ns": counted["ended_ns"],
            "start_unix_ns": unix - (now - counted["began_ns"]),
            "end_unix_ns": unix - (now - counted["ended_ns"]),
            "wait_max_ns": 0,
            "in_flight_ns": 0,
            "floor_ns": -1,
            "pid": self.target.process.pid,
            "sampler_id": self._number + (os.getpid() << 32),
            "epoch": 0,
            "slice_active": False,
        }
        return from_core(
            counts,
            b"",
            None,
            method="outside",
            switch_interval_ns=self.target.switch_interval_ns(),
            interval_ns=self.interval_ns,
            knock_interval_ns=0,
            gil_enabled_now=True,
            holders=holders,
            stacks=stored(
                (seen, NOTHING, (unknown, 0, 0, 0)),
                self.interval_ns,
                names,
            ),
        )
