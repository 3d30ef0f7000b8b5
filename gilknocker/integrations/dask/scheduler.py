"""What a scheduler does: it remembers what its workers told, also of those that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from distributed.diagnostics.plugin import SchedulerPlugin

from gilknocker.integrations.dask.heartbeats import HeartbeatSum
from gilknocker.integrations.dask.worker import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from gilknocker.integrations.dask.heartbeats import HeartbeatTotals

__all__ = ["GilSchedulerPlugin", "has_plugins", "read_scheduler"]

# Lost workers whose numbers are kept apart: if one of these is heard of again, it counts once.
_KEPT_APART = 100


class GilSchedulerPlugin(SchedulerPlugin):  # type: ignore[misc]  # Any, for mypy
    """Keeps what each worker told of its GIL last, and sums it up when asked.

    Heartbeats tell all of a worker's time so far, and Dask keeps the newest: nothing is done when
    one comes, and none that is lost matters. What a worker did after its last heartbeat is not
    known if it dies.
    """

    idempotent = True

    def __init__(self, name: str = NAME) -> None:
        self.name = name

    async def start(self, scheduler: Any) -> None:
        """Begin with the workers that are there."""
        self._states: dict[str, Any] = dict(scheduler.workers)
        self._lost: dict[str, Mapping[str, Any]] = {}  # by the number of the meter, oldest first
        self._lost_before = HeartbeatSum()
        self._lost_count = 0

    def add_worker(self, scheduler: Any, worker: str) -> None:
        """Remember a worker's state, where each heartbeat puts what it told."""
        self._states[worker] = scheduler.workers[worker]

    def remove_worker(self, scheduler: Any, worker: str, **kwargs: Any) -> None:
        """Keep what a worker told last."""
        beat = _beat(self._states.pop(worker, None))
        if beat is None:
            return
        self._lost_count += self._lost.pop(beat["id"], None) is None
        self._lost[beat["id"]] = beat
        while len(self._lost) > _KEPT_APART:
            self._lost_before.add(self._lost.pop(next(iter(self._lost))))

    def totals(self) -> HeartbeatTotals:
        """Return the sums over all workers, each counted once."""
        present = [beat for state in self._states.values() if (beat := _beat(state)) is not None]
        numbers = {beat["id"] for beat in present}
        again = sum(number in numbers for number in self._lost)
        told = HeartbeatSum()
        for beat in (*present, *(one for one in self._lost.values() if one["id"] not in numbers)):
            told.add(beat)
        both = told + self._lost_before
        return both.totals(len(present), self._lost_count - again)


def _beat(state: Any) -> Mapping[str, Any] | None:
    beat: Mapping[str, Any] | None = None if state is None else state.metrics.get("gil")
    return beat


def read_scheduler(dask_scheduler: Any) -> HeartbeatTotals | None:
    """Return what the plugin of a scheduler knows that has been there longest; it runs there."""
    for plugin in dask_scheduler.plugins.values():
        if isinstance(plugin, GilSchedulerPlugin):
            return plugin.totals()
    return None


def has_plugins(name: str, dask_scheduler: Any) -> tuple[bool, bool]:
    """Return whether a scheduler has a plugin of a name, and one for workers; it runs there."""
    return name in dask_scheduler.plugins, name in dask_scheduler.worker_plugins
