"""The stacks of what holds the GIL, looked at beside a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilknocker import _core
from gilknocker.meters.arguments import settle
from gilknocker.meters.holder_names import named
from gilknocker.meters.knock_knock import need_stacks
from gilknocker.meters.lifecycle import PROCESS
from gilknocker.meters.tracing import NAMES
from gilknocker.snapshot.stacks import stored

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import SupportsIndex

    from gilknocker.snapshot.fields import _StoredHolders

__all__ = ["StacksBeside"]

_STOP_TIMEOUT_NS = 1_000_000_000  # nobody of it waits for the GIL: it ends at once
_OF_LOOKS = (
    *("ticks", "ticks_held", "ticks_own", "ticks_late", "ticks_missed", "ticks_disabled"),
    "cpu_ns",
)


class StacksBeside:
    """Looks at the holder's stack at random instants, and at how many threads wait for it then.

    A sampler that never knocks: its threads take no GIL, and so no trace counts them.

    Parameters
    ----------
    interval_micros : int or None
        Between looks, as that of `KnockKnock`.

    Attributes
    ----------
    waiters : _core.Waiters
        What the trace is to keep.

    Raises
    ------
    StacksUnsupported, TypeError, ValueError
        As `KnockKnock` does.
    """

    def __init__(self, interval_micros: SupportsIndex | None) -> None:
        need_stacks()
        settings = settle(interval_micros=interval_micros)
        self._interval_ns = settings.interval_ns
        self._names: dict[tuple[int, int, int], str] = {}
        self.waiters = _core.Waiters()
        self._sampler = _core.Sampler(
            settings.interval_ns,
            settings.knock_interval_ns,
            knocks_per_burst=0,
            burst_rest_ns=0,
            late_after_ns=settings.late_after_ns,
            contended_after_ns=settings.contended_after_ns,
            log_capacity=0,
            stacks=True,
            waiters=self.waiters,
        )

    def start(self) -> None:
        """Go on looking."""
        PROCESS.start(self._sampler)

    def stop(self) -> None:
        """Look no more; what was seen stays."""
        PROCESS.stop(self._sampler, _STOP_TIMEOUT_NS)

    def reset(self) -> None:
        """Forget what was seen."""
        self._sampler.reset()
        self._names.clear()

    def fields(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Return what a trace's snapshot has of it.

        Parameters
        ----------
        names : mapping
            Of threads, by native id, as far as known.
        """
        counts, _, _, holders = self._sampler.read()
        found = {
            serial: names.get(native_id, name)
            for native_id, serial, name, _ in self._named(holders)
        }
        return {
            **{name: counts[name] for name in _OF_LOOKS},
            "interval_ns": self._interval_ns,
            "_stacks": stored(self._sampler.read_stacks(), self._interval_ns, found),
        }

    def keep_names(self) -> None:
        """Find out what the threads are called that were seen: soon nobody may remember."""
        self._named(self._sampler.read()[3])

    def _named(self, holders: Iterable[tuple[int, int, int, str, int]]) -> _StoredHolders:
        return named(
            (
                (native_id, serial, ident, name or NAMES.name_by_serial(serial) or "", seen)
                for native_id, serial, ident, name, seen in holders
            ),
            self._names,
        )
