"""What a worker does: it reads its monitor's knocker, and tells the scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from distributed.core import Status
from distributed.diagnostics.plugin import WorkerPlugin

from gilknocker.integrations.dask.heartbeats import Measured, heartbeat
from gilknocker.meters.knock_knock import KnockKnock
from gilknocker.meters.totals import Totals

if TYPE_CHECKING:
    from typing import Any

    from gilknocker.snapshot.value import Snapshot

__all__ = ["NAME", "GilWorkerPlugin", "WorkerMeter", "read_worker"]

NAME = "gilknocker"


class GilWorkerPlugin(WorkerPlugin):  # type: ignore[misc]  # Any, for mypy
    """Reads the knocker that a worker's system monitor has; never starts a second one.

    Each heartbeat takes a small dict to the scheduler, ``worker.metrics["gil"]``: ``id``,
    ``held_seconds``, ``observed_seconds``, ``knocks``, ``wait_p99_ns``, ``wait_max_ns`` and
    ``waits`` so far. The monitor resets its knocker twice a second; these go on.

    Parameters
    ----------
    stacks : bool, default False
        Whether stacks of who holds the GIL are read, too: the monitor gets a knocker that does so
        in the place of its own, until the plugin is taken away.
    tasks : bool, default False
        Whether each task tells how long it waited for the GIL: ``gil-wait``, among Dask's Fine
        Performance Metrics, which was in ``thread-noncpu``. A tracer measures it meanwhile; tasks
        that are coroutines, actors, and those of pools of processes have none.
    """

    idempotent = True

    def __init__(self, *, stacks: bool = False, tasks: bool = False) -> None:
        self._stacks, self._tasks = stacks, tasks
        # Of its own for each way, so that one more is added to those that are there; `watch` gives
        # each one of its own.
        self.name = NAME + "+stacks" * stacks + "+tasks" * tasks

    def setup(self, worker: Any) -> None:
        """Begin.

        Raises
        ------
        RuntimeError
            If the worker does not watch its GIL; `StacksUnsupported`, which is one, if stacks
            cannot be read there; `GilTracerUnsupported`, likewise, if the GIL cannot be traced.
        """
        if getattr(worker.monitor, "_gilknocker", None) is None:
            raise RuntimeError(
                f"the worker {worker.address_safe} does not watch its GIL: "
                "distributed.admin.system-monitor.gil.enabled must be true in its configuration"
            )
        # Where Dask keeps what belongs to a worker: plugins share it, also one after the other.
        meter = worker.extensions.get(NAME)
        if meter is None:
            meter = worker.extensions[NAME] = WorkerMeter(worker.monitor)
        if self._tasks:
            from gilknocker.integrations.dask.tasks import TASKS

            TASKS.begin(self)
        meter.begin(self, self._stacks)
        worker.metrics["gil"] = _told

    def teardown(self, worker: Any) -> None:
        """End; a worker that is being closed tells what it has until then."""
        if self._tasks:
            from gilknocker.integrations.dask.tasks import TASKS

            TASKS.end(self)
        if worker.status is Status.closing:
            return  # heartbeats still come, and the scheduler keeps the last one
        meter = worker.extensions.get(NAME)
        if meter is not None and not meter.end(self):
            worker.metrics.pop("gil", None)


class WorkerMeter:
    """What a worker's GIL did since it was first watched, by the knocker of its monitor.

    Parameters
    ----------
    monitor : distributed.system_monitor.SystemMonitor
        Of the worker; it starts, resets and stops the knocker. All calls are in its thread.
    """

    def __init__(self, monitor: Any) -> None:
        self._monitor = monitor
        self._users: dict[GilWorkerPlugin, bool] = {}  # whether they need stacks
        self._stacks = False
        self._before: Measured | None = None  # by the knockers that were replaced
        self._watch()
        self._id = self._number

    def _watch(self) -> None:
        self._number = uuid4().hex  # what is read by it begins anew
        self._totals = Totals(self._monitor._gilknocker)

    def begin(self, user: GilWorkerPlugin, stacks: bool) -> None:
        """Measure for a plugin."""
        if stacks:
            self._need(True)
        self._users[user] = stacks

    def end(self, user: GilWorkerPlugin) -> bool:
        """Measure no longer for a plugin; return whether it still does for others."""
        self._users.pop(user, None)
        self._need(any(self._users.values()))
        return bool(self._users)

    @property
    def in_use(self) -> bool:
        """Whether anybody wants to know."""
        return bool(self._users)

    # Not "heartbeat": extensions that have one must be known to the scheduler, too.
    def told(self) -> dict[str, Any]:
        """Return what the scheduler is told: it goes on over knockers that are replaced."""
        return heartbeat(self._id, self._totals, self._before)

    def read(self) -> tuple[str, Snapshot]:
        """Return the number of the knocker that measures, and what it has."""
        return self._number, self._totals.snapshot()

    def _need(self, stacks: bool) -> None:
        """Give the monitor a knocker with or without stacks, if it has not such a one."""
        if stacks == self._stacks:
            return
        old = self._monitor._gilknocker
        new = KnockKnock(polling_interval_micros=old.knock_interval_micros, stacks=stacks)
        if old.is_running:  # else the worker is being closed, and nobody would stop the new one
            new.start()
            old.stop()
        self._monitor._gilknocker = new
        self._stacks = stacks
        measured = Measured.of(self._totals)
        self._before = measured if self._before is None else self._before.and_then(measured)
        self._watch()


def _told(worker: Any) -> dict[str, Any]:
    told: dict[str, Any] = worker.extensions[NAME].told()
    return told


def read_worker(dask_worker: Any) -> tuple[str, Snapshot] | None:
    """Return what a worker measured, as `WorkerMeter.read` does; it runs there."""
    meter = dask_worker.extensions.get(NAME)
    return meter.read() if meter is not None and meter.in_use else None
